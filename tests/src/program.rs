//! The command line, run as a person or a script runs it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// How long a command may take: building a first module builds its standard library too.
const COMMAND_DEADLINE: Duration = Duration::from_secs(300);

/// The program of the tests: the command line, broker included.
#[derive(Debug, Clone, Copy)]
pub struct Program(&'static str);

impl Program {
    /// The program at this path: `env!("CARGO_BIN_EXE_logmill-test-broker")`.
    #[must_use]
    pub const fn new(path: &'static str) -> Self {
        Self(path)
    }

    /// Its path.
    #[must_use]
    pub fn path(self) -> &'static str {
        self.0
    }

    /// A command that begins with this program, and knows of no broker.
    #[must_use]
    pub fn command(self) -> Command {
        self.wrapped(&[])
    }

    /// The same, run by another program.
    pub(crate) fn wrapped(self, wrapper: &[String]) -> Command {
        let mut command = match wrapper.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(self.0);
                command
            }
            None => Command::new(self.0),
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LOGMILL_") {
                command.env_remove(name);
            }
        }
        // The user's own broker is none of these tests' business.
        command.env_remove("XDG_RUNTIME_DIR").env_remove("RUST_BACKTRACE").kill_on_drop(true);
        command
    }

    /// Runs it with these arguments, without a broker to talk to.
    pub async fn run(self, args: &[impl AsRef<OsStr>]) -> Ran {
        Ran::of(self.command().args(args), b"").await
    }

    /// Runs it in a folder.
    pub async fn run_in(self, folder: &Path, args: &[impl AsRef<OsStr>]) -> Ran {
        Ran::of(self.command().current_dir(folder).args(args), b"").await
    }
}

/// What became of a command.
#[derive(Debug, Clone)]
pub struct Ran {
    /// As it was typed.
    pub command: String,
    /// The exit code; None when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Ran {
    /// Runs a command with this stdin, to its end.
    ///
    /// # Panics
    /// When it can't be started, or does not end.
    pub async fn of(command: &mut Command, stdin: &[u8]) -> Self {
        let typed = format!("{:?}", command.as_std());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{typed}: {error}"));
        let mut input = child.stdin.take().expect("stdin is a pipe");
        let feed = async move {
            // A command that reads no stdin closes it.
            let _ = input.write_all(stdin).await;
        };
        let both = async { tokio::join!(feed, child.wait_with_output()).1 };
        let output = match tokio::time::timeout(COMMAND_DEADLINE, both).await {
            Ok(output) => output.unwrap(),
            Err(_) => panic!("{typed}: not within {COMMAND_DEADLINE:?}"),
        };
        Self {
            command: typed,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: started.elapsed(),
        }
    }

    /// The same, which must have done what was asked.
    ///
    /// # Panics
    /// When it has not.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// The same, which must have ended with this code and said this in one line on stderr.
    ///
    /// # Panics
    /// When it has not.
    #[track_caller]
    pub fn refused(self, code: i32, says: &str) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        assert!(self.stderr.contains(says), "stderr does not say {says:?}: {self}");
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "stderr is not one line: {self}");
        self
    }

    /// Its stdout as one JSON value a line.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> Vec<T> {
        let parse =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self}"));
        self.stdout.lines().map(parse).collect()
    }

    /// Its stdout as one JSON value.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    #[must_use]
    pub fn json_line<T: DeserializeOwned>(&self) -> T {
        let mut values = self.json();
        assert_eq!(values.len(), 1, "{self}");
        values.remove(0)
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, code, stdout, stderr, .. } = self;
        write!(f, "{command}\nended with {code:?}\nstdout: {stdout}\nstderr: {stderr}")
    }
}
