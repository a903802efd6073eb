//! A newcomer's first minutes: the demo, the README's commands, a module of one's own.

use std::path::Path;
use std::process::Stdio;

use logmill_tests::{Broker, Ran, repository};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::PROGRAM;

/// `cargo run --release -- demo` and `cargo test --release --workspace`, which built this, share one
/// build: the first has nothing of wasmtime or quinn left to compile.
#[tokio::test]
async fn the_demo_exits_0_and_shares_the_build_of_the_tests() {
    if cfg!(debug_assertions) {
        eprintln!("skipped: this is not the release profile");
        return;
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--release", "--", "demo"]).current_dir(repository());
    let ran = Ran::of(&mut cargo, b"").await.ok();
    for compiled in ran.stderr.lines().filter(|line| line.trim_start().starts_with("Compiling")) {
        assert!(compiled.contains("logmill"), "built again for the demo: {compiled}");
    }
    for shown in ["github.issues", "triage", "dead"] {
        assert!(ran.stdout.contains(shown), "the demo shows {shown}: {ran}");
    }
}

/// The commands of the README, in its order, in one folder and against the broker it starts.
#[tokio::test]
async fn the_readme_runs_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let dev = "logmill dev";
    let mut broker = logmill(folder.path(), dev);
    let mut child = broker.stdout(Stdio::piped()).stdin(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("ready") {
                return;
            }
        }
        panic!("{dev} ended");
    };
    logmill_tests::within("dev is ready", ready).await;
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });

    run(folder.path(), "logmill produce greetings hello --key anna").await;
    let read = run(folder.path(), "logmill consume greetings").await;
    assert!(read.stdout.contains("hello"), "{read}");
    run(folder.path(), "logmill module new shout").await;
    run(
        folder.path(),
        "logmill module deploy shout shout --on greetings --out loud --from earliest",
    )
    .await;
    let loud = logmill_tests::until("the module has shouted", async || {
        let read = run(folder.path(), "logmill consume loud").await;
        (!read.stdout.is_empty()).then_some(read)
    })
    .await;
    assert!(loud.stdout.contains("anna"), "{loud}");
    let described = run(folder.path(), "logmill module describe shout").await;
    assert!(described.stdout.contains("running"), "{described}");
    let status = run(folder.path(), "logmill status").await;
    assert!(status.stdout.contains("greetings"), "{status}");
    run(folder.path(), "logmill dlq ls").await;
    run(folder.path(), "logmill dlq show shout").await;
    child.kill().await.unwrap();
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
