//! A broker as a process of its own, on a data directory of its own.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use logmill_client::{Admin, Client, ConnectOptions, ConnectionFile};
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::sync::watch;

use crate::{DataDir, DieAt, Program, Ran, lifeline, mortal_storage, within};

const STDERR_LINES_MAX: usize = 2000;

/// How to start a broker.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Where it keeps what it keeps.
    pub data: DataDir,
    /// What to run it under, such as `strace -f`.
    pub wrapper: Vec<String>,
    /// The text of its settings file.
    pub config: Option<String>,
    /// Where it kills itself.
    pub die_at: Option<DieAt>,
}

impl Setup {
    /// On this data directory.
    #[must_use]
    pub fn on(data: &DataDir) -> Self {
        Self { data: data.clone(), ..Self::default() }
    }
}

/// A broker that ended instead of becoming ready.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it said.
    pub stderr: String,
}

/// A running broker. Ends, without being asked, when it is dropped.
#[derive(Debug)]
pub struct Broker {
    program: Program,
    data: DataDir,
    child: Child,
    lifeline: Option<ChildStdin>,
    stderr: Arc<Mutex<VecDeque<String>>>,
    /// Whether its stderr has ended, which is when it has.
    ended: watch::Receiver<bool>,
    connection: ConnectionFile,
}

impl Broker {
    /// Starts one on an empty data directory, and waits until it is ready.
    pub async fn start(program: Program) -> Self {
        Self::start_on(program, &DataDir::new()).await
    }

    /// Starts one on this data directory, and waits until it is ready.
    pub async fn start_on(program: Program, data: &DataDir) -> Self {
        Self::start_with(program, Setup::on(data)).await
    }

    /// Starts one, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start_with(program: Program, setup: Setup) -> Self {
        match Self::try_start(program, setup).await {
            Ok(broker) => broker,
            Err(ended) => panic!("the broker ended with {}: {}", ended.status, ended.stderr),
        }
    }

    /// Starts one, and waits until it is ready or has ended.
    ///
    /// # Errors
    /// When it has ended.
    ///
    /// # Panics
    /// When it does neither.
    pub async fn try_start(program: Program, setup: Setup) -> Result<Self, Ended> {
        let mut child = Self::spawn(program, &setup);
        let stdout = child.stdout.take().expect("stdout is a pipe");
        let stderr = Arc::new(Mutex::new(VecDeque::new()));
        let errors = child.stderr.take().expect("stderr is a pipe");
        let (end, ended) = watch::channel(false);
        let capturing = capture(errors, Arc::clone(&stderr));
        let captured = tokio::spawn(async move {
            capturing.await;
            end.send_replace(true);
        });
        let ready = async {
            let mut lines = BufReader::new(stdout).lines();
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.starts_with("ready") {
                    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                    return true;
                }
            }
            false
        };
        if !within("the broker becomes ready or ends", ready).await {
            let status = child.wait().await.unwrap();
            captured.await.unwrap();
            return Err(Ended { status, stderr: joined(&stderr) });
        }
        let connection = ConnectionFile::load(&setup.data.path().join("connection.json")).unwrap();
        let lifeline = child.stdin.take();
        Ok(Self { program, data: setup.data, child, lifeline, stderr, ended, connection })
    }

    /// Starts one and kills it before this much time has passed, ready or not.
    ///
    /// # Panics
    /// When it can't be started.
    pub async fn start_and_kill(program: Program, setup: Setup, after: Duration) {
        let mut child = Self::spawn(program, &setup);
        // It does not end by itself: this is how long it lives.
        let _ = tokio::time::timeout(after, child.wait()).await;
        child.kill().await.unwrap();
    }

    fn spawn(program: Program, setup: &Setup) -> Child {
        let data = setup.data.path();
        let mut command = program.wrapped(&setup.wrapper);
        command.arg("serve").arg("--data").arg(data);
        command.args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        if let Some(config) = &setup.config {
            let path = data.join("broker.toml");
            std::fs::write(&path, config).unwrap();
            command.arg("--config").arg(path);
        }
        if let Some(die_at) = &setup.die_at {
            command.env(mortal_storage::VARIABLE, die_at.to_variable());
        }
        command.env(lifeline::VARIABLE, "1").current_dir(data);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> &DataDir {
        &self.data
    }

    /// How to get in.
    #[must_use]
    pub fn connection(&self) -> &ConnectionFile {
        &self.connection
    }

    /// What it has said on stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        joined(&self.stderr)
    }

    /// The most memory it has had at once, in bytes.
    ///
    /// # Panics
    /// When the system does not say.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        let id = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// A new connection to it.
    ///
    /// # Panics
    /// When there is none.
    pub async fn client(&self) -> Client {
        self.try_client().await.unwrap()
    }

    /// A new connection to it, if it still lives.
    ///
    /// # Errors
    /// When there is none.
    pub async fn try_client(&self) -> Result<Client, logmill_client::Error> {
        Client::connect(ConnectOptions::from(self.connection.clone())).await
    }

    /// Topics and deployments, over a new connection.
    pub async fn admin(&self) -> Admin {
        self.client().await.admin()
    }

    /// Runs `logmill` against it.
    pub async fn logmill(&self, args: &[impl AsRef<OsStr>]) -> Ran {
        self.logmill_with_stdin(args, b"").await
    }

    /// Runs `logmill` against it with something to read.
    pub async fn logmill_with_stdin(&self, args: &[impl AsRef<OsStr>], stdin: &[u8]) -> Ran {
        let mut command = self.program.command();
        command.env("LOGMILL_CONNECT", &self.connection.path).args(args);
        Ran::of(&mut command, stdin).await
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When it has ended already.
    pub async fn kill(mut self) -> DataDir {
        assert!(self.child.try_wait().unwrap().is_none(), "it ended by itself: {}", self.stderr());
        self.child.kill().await.unwrap();
        self.data.clone()
    }

    /// From now on it counts the steps at one of which it is to die.
    ///
    /// # Panics
    /// When the file that says so can't be made.
    pub fn arm(&self) {
        std::fs::write(self.data.path().join(mortal_storage::ARMED), "").unwrap();
    }

    /// Waits until it has ended.
    pub async fn died(&self) {
        // An error: whoever would tell is gone, and so is the broker.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// `kill -9`, unless it has killed itself at the step that its setup names; tells whether it
    /// had.
    ///
    /// # Panics
    /// When it has failed.
    pub async fn kill_or_killed(mut self) -> bool {
        // An error: it has ended.
        let _ = self.child.start_kill();
        let status = self.child.wait().await.unwrap();
        within("its stderr is read", self.died()).await;
        let is_killed = status.signal() == Some(Signal::KILL.as_raw());
        assert!(is_killed || status.success(), "{status}: {}", self.stderr());
        self.stderr().contains(mortal_storage::LAST_WORDS)
    }

    /// Asks it to end, as a supervisor does.
    ///
    /// # Panics
    /// When it has ended.
    pub fn ask_to_end(&self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        rustix::process::kill_process(id.expect("it runs"), Signal::TERM).unwrap();
    }

    /// Waits until it ends by itself; tells how it did, and what it said.
    ///
    /// # Panics
    /// When it does not.
    pub async fn ended(mut self) -> (Ended, DataDir) {
        let status = within("it ends", self.child.wait()).await.unwrap();
        within("its stderr is read", self.died()).await;
        (Ended { status, stderr: self.stderr() }, self.data.clone())
    }

    /// Asks it to end, as a supervisor does, and tells how it did and how long that took.
    ///
    /// # Panics
    /// When it does not.
    pub async fn terminate(mut self) -> (ExitStatus, Duration, DataDir) {
        let started = Instant::now();
        self.ask_to_end();
        let status = within("it ends", self.child.wait()).await.unwrap();
        (status, started.elapsed(), self.data.clone())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.lifeline = None;
        if std::thread::panicking() {
            eprintln!("the broker's stderr:\n{}", self.stderr());
        }
    }
}

async fn capture(stderr: impl AsyncRead + Unpin, into: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut into = into.lock().unwrap_or_else(PoisonError::into_inner);
        if into.len() == STDERR_LINES_MAX {
            into.pop_front();
        }
        into.push_back(line);
    }
}

fn joined(lines: &Mutex<VecDeque<String>>) -> String {
    let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
}
