//! The broker as a child process: started, killed, stopped.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use logmill_client::{Client, ConnectOptions, ConnectionFile};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::Failure;

/// How long a broker may take to be ready: it recovers first.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a broker may take to stop, and a little more.
const STOPPED_WITHIN: Duration = Duration::from_secs(15);
const LOG_FILE: &str = "broker.log";

/// A broker of this program's own executable. It is killed when this is dropped.
pub(super) struct Broker {
    process: Child,
    log: PathBuf,
}

impl Broker {
    /// Starts a broker on ports of its own choice, with its data and its log in `folder`.
    pub(super) async fn start(folder: &Path) -> Result<(Self, Client), Failure> {
        let data = folder.join("data");
        let log = folder.join(LOG_FILE);
        let stderr = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("can't write {}", log.display()))?;
        let program = std::env::current_exe().context("can't tell this program's own file")?;
        let process = Command::new(&program)
            .arg("serve")
            .arg("--data")
            .arg(&data)
            .args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--output", "json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("can't start {} serve", program.display()))?;
        let mut broker = Self { process, log };
        match timeout(READY_WITHIN, broker.ready()).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => return Err(failure),
            Err(_) => return Err(broker.failed("was not ready in time")),
        }
        let file = ConnectionFile::load(&data.join("connection.json"))?;
        let client =
            Client::connect(ConnectOptions::from(file).client_name("logmill demo")).await?;
        Ok((broker, client))
    }

    /// Waits for the line that says so.
    async fn ready(&mut self) -> Result<(), Failure> {
        let stdout = self.process.stdout.take().context("the broker has no stdout")?;
        let line = BufReader::new(stdout).lines().next_line().await;
        match line.context("can't read what the broker prints")? {
            Some(_) => Ok(()),
            None => Err(self.failed("ended before it was ready")),
        }
    }

    fn failed(&self, what: &str) -> Failure {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last = log.lines().next_back().unwrap_or("it said nothing");
        anyhow::anyhow!("the broker {what}: {last}").into()
    }

    /// Ends it in the middle of whatever it does: SIGKILL.
    pub(super) async fn kill(mut self) -> Result<(), Failure> {
        Ok(self.process.kill().await.context("can't kill the broker")?)
    }

    /// Asks it to end, and checks that it does so in order.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        let pid = self.process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.context("the broker has ended by itself")?;
        kill_process(pid, Signal::TERM).context("can't stop the broker")?;
        match timeout(STOPPED_WITHIN, self.process.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(self.failed(&format!("did not stop in order, {status}"))),
            Ok(Err(error)) => {
                Err(anyhow::Error::from(error).context("can't wait for the broker").into())
            }
            Err(_) => Err(self.failed("did not stop in time")),
        }
    }
}
