//! A newcomer's first minutes: the demo, the README's commands, a module of one's own.

use std::path::Path;
use std::process::{ExitStatus, Stdio};

use logmill_tests::{Broker, Ran, example, repository};
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::PROGRAM;

/// Runs a command of the README on the repository, and fails when it compiles what the tests have
/// compiled already: anything but packages of ours.
async fn cargo(line: &str) -> Ran {
    let words = line.strip_prefix("cargo ").expect("a command of cargo").split(' ');
    let mut cargo = Command::new(env!("CARGO"));
    // What the cargo that runs the tests has set: build scripts that watch it would run again.
    for (name, _) in std::env::vars_os() {
        let is_of_tests = name.to_str().is_some_and(|name| {
            let of_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
            of_package.iter().any(|prefix| name.starts_with(prefix))
        });
        if is_of_tests {
            cargo.env_remove(name);
        }
    }
    let ran = Ran::of(cargo.args(words).current_dir(repository()), b"").await.ok();
    for compiled in ran.stderr.lines().filter(|line| line.trim_start().starts_with("Compiling")) {
        assert!(compiled.contains("(/"), "`{line}` does not share the tests' build: {compiled}");
    }
    ran
}

#[tokio::test]
async fn the_demo_exits_0_and_shares_the_build_of_the_tests() {
    if cfg!(debug_assertions) {
        eprintln!("skipped: the tests were not built in the release profile");
        return;
    }
    cargo("cargo build --release").await;
    let ran = cargo("cargo run --release -- demo").await;
    for shown in [
        "github.issues",
        "dead-lettered",
        "skipped as duplicates",
        "octo-org/octo-repo waited",
        "3 dead letters were redriven",
    ] {
        assert!(ran.stdout.contains(shown), "the demo shows {shown}: {ran}");
    }
}

/// The commands of the README, in its order, in one folder and against the broker that it starts.
#[tokio::test]
async fn the_readme_runs_as_it_stands() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let mut dev = Terminal::start(folder, "logmill dev");
    dev.shows(&["ready"]).await;
    run(folder, "logmill produce greetings hello --key anna").await;
    let read = run(folder, "logmill consume greetings").await;
    assert!(read.stdout.contains("hello"), "{read}");
    run(folder, "logmill module new shout").await;
    run(folder, "logmill module deploy shout").await;
    run(folder, "logmill produce shout.in anna").await;
    let loud = logmill_tests::until("the module has handled the record", async || {
        let read = run(folder, "logmill consume shout.out").await;
        (!read.stdout.is_empty()).then_some(read)
    })
    .await;
    assert!(loud.stdout.contains("hello, anna"), "{loud}");
    let described = run(folder, "logmill module describe shout").await;
    assert!(described.stdout.contains("running"), "{described}");
    let status = run(folder, "logmill status").await;
    assert!(status.stdout.contains("greetings"), "{status}");
    // What a shell makes of the quotes: a word of one blank.
    let blank = r#"logmill produce shout.in " ""#;
    let mut produce = logmill(folder, blank.trim_end_matches(r#"" ""#));
    Ran::of(produce.arg(" "), b"").await.ok();
    run(folder, "logmill dlq ls").await;
    logmill_tests::until("the blank name is a dead letter", async || {
        let dead = run(folder, "logmill dlq show shout").await;
        dead.stdout.contains("nobody to greet").then_some(())
    })
    .await;
    let redriven = run(folder, "logmill dlq redrive shout").await;
    assert!(redriven.stdout.contains("redriven to shout: 1 of shout.dlq"), "{redriven}");
    let bench = run(folder, "logmill bench produce --records 100000").await;
    assert!(bench.stdout.contains("raw disk"), "{bench}");
    let second = Ran::of(&mut logmill(folder, "logmill dev"), b"").await;
    second.refused(1, "a broker runs for this folder already");
    assert!(dev.interrupt().await.success());

    // Elsewhere, and on ports that are free.
    let serve = "logmill serve --data /var/lib/logmill";
    let data = folder.join("data");
    let serve = serve.replace("/var/lib/logmill", data.to_str().unwrap());
    let line = format!("{serve} --listen 127.0.0.1:0 --http 127.0.0.1:0");
    let mut serve = Terminal::start(folder, &line);
    serve.shows(&["ready"]).await;
    assert!(data.join("connection.json").exists());
    assert!(serve.interrupt().await.success());
}

#[tokio::test]
async fn dev_runs_an_example_shows_what_it_decides_and_feeds_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("logmill dev {}", example("github-triage").display());
    let mut dev = Terminal::start(folder.path(), &line);
    dev.shows(&["ready"]).await;
    for module in ["route", "triage", "opened"] {
        dev.shows(&["deployed", module]).await;
    }
    dev.shows(&["329 records"]).await;
    dev.shows(&["triage", "48 done", "2 dead-lettered", "lag 0"]).await;
    dev.types("r\n").await;
    // What was handled is skipped, and what died is handled once more.
    dev.shows(&["triage", "48 done", "4 dead-lettered", "56 duplicates", "lag 0"]).await;
    run(folder.path(), "logmill module describe triage").await;
    assert!(dev.interrupt().await.success());
    let ran = Ran::of(&mut logmill(folder.path(), "logmill topic ls"), b"").await;
    ran.refused(1, "no broker found");
}

/// A command at a terminal: it goes on, prints, and is typed into.
struct Terminal {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Terminal {
    fn start(folder: &Path, line: &str) -> Self {
        let mut command = logmill(folder, line);
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, stdin, stdout }
    }

    /// Waits for a line in which all of these stand.
    async fn shows(&mut self, words: &[&str]) {
        let shown = async {
            while let Some(line) = self.stdout.next_line().await.unwrap() {
                if words.iter().all(|word| line.contains(word)) {
                    return true;
                }
            }
            false
        };
        assert!(logmill_tests::within(&format!("it shows {words:?}"), shown).await, "it ended");
    }

    async fn types(&mut self, text: &str) {
        self.stdin.write_all(text.as_bytes()).await.unwrap();
    }

    /// Presses Ctrl-C, and tells how it ended.
    async fn interrupt(mut self) -> ExitStatus {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        rustix::process::kill_process(id.unwrap(), Signal::INT).unwrap();
        let rest = async { while let Ok(Some(_)) = self.stdout.next_line().await {} };
        let ended = async { tokio::join!(rest, self.child.wait()).1 };
        logmill_tests::within("it ends", ended).await.unwrap()
    }
}

/// A command as a person would type it in this folder.
fn logmill(folder: &Path, line: &str) -> Command {
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), Some("logmill"));
    let mut command = PROGRAM.command();
    command.args(words).current_dir(folder);
    command
}

async fn run(folder: &Path, line: &str) -> Ran {
    Ran::of(&mut logmill(folder, line), b"").await.ok()
}

/// Outside of the repository, with nothing but what the program carries.
#[tokio::test]
async fn a_new_module_of_each_world_builds_tests_and_deploys_as_it_is() {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    for world in ["consumer", "router", "filter"] {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join(format!("my-{world}"));
        let path = project.to_str().unwrap();
        PROGRAM.run(&["module", "new", path, "--world", world]).await.ok();
        let mut test = Command::new(env!("CARGO"));
        test.arg("test").current_dir(&project).env_remove("CARGO_TARGET_DIR");
        let tested = Ran::of(&mut test, b"").await.ok();
        assert!(tested.stdout.contains("test result: ok"), "{tested}");
        PROGRAM.run(&["module", "build", path]).await.ok();
        PROGRAM.run(&["module", "check", path]).await.ok();
        let name = format!("my-{world}");
        broker.logmill(&["module", "deploy", &name, path, "--on", "t"]).await.ok();
        let running = broker.running(&name).await;
        assert_eq!(running.world.as_str(), world);
        let again = PROGRAM.run(&["module", "new", path, "--world", world]).await;
        assert_eq!(again.code, Some(1), "a folder that is there is left alone: {again}");
    }
}
