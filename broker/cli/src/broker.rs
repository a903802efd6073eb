//! A broker in this process: the one behind `serve`, `dev`, and `bench` where none is found.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use logmill_client::{ConnectOptions, Trust};
use logmill_engine::Options;
use logmill_engine::clock::Clock;
use logmill_log::storage::DiskStorage;
use logmill_server::{Config, Server, Settings};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::{Failure, Hooks};

/// What becomes of a topic that is produced to or read from before it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingTopics {
    /// The request is refused: a typo is not a topic.
    Refuse,
    /// It is made.
    Create,
}

/// Where the data lies, and whether it outlives the command.
#[derive(Debug)]
pub(crate) enum Data {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Data {
    /// The directory that was wished for, or a temporary one whose name begins with `prefix`.
    pub(crate) fn of(wish: Option<PathBuf>, prefix: &str) -> Result<Self, Failure> {
        Ok(match wish {
            Some(path) => Self::Kept(path),
            None => Self::temporary(&std::env::temp_dir(), prefix)?,
        })
    }

    /// A temporary one in this folder.
    pub(crate) fn temporary(folder: &Path, prefix: &str) -> Result<Self, Failure> {
        let made = tempfile::Builder::new().prefix(prefix).tempdir_in(folder);
        let made =
            made.with_context(|| format!("can't make a temporary folder in {}", folder.display()))?;
        Ok(Self::Temporary(made))
    }

    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::Kept(path) => path.clone(),
            Self::Temporary(folder) => folder.path().to_owned(),
        }
    }
}

/// Settings of a broker that belongs to this command: on loopback, and on ports of its own choice.
pub(crate) fn private_settings(config: Config) -> Result<Settings, Failure> {
    let config =
        Config { listen: ([127, 0, 0, 1], 0).into(), http: ([127, 0, 0, 1], 0).into(), ..config };
    Ok(Settings::check(config).map_err(anyhow::Error::from)?)
}

/// How to connect to a broker of this process.
pub(crate) fn options_of(server: &Server) -> Result<ConnectOptions, Failure> {
    let connection = server.connection();
    let trust = Trust::Fingerprint(connection.fingerprint.parse()?);
    let token = connection.token.clone().unwrap_or_default();
    Ok(ConnectOptions::new(connection.address.to_string(), trust, token))
}

/// Starts a broker. When this returns, clients can connect.
pub(crate) async fn start(
    settings: Settings,
    missing_topics: MissingTopics,
    hooks: &Hooks,
) -> Result<Server, Failure> {
    let data_dir = settings.data().to_owned();
    logmill_server::create_data_directory(&data_dir).map_err(anyhow::Error::from)?;
    let log = logmill_log::Settings {
        journal_file_bytes: settings.journal_file_bytes(),
        reserve_bytes: settings.reserve_bytes(),
        segment_bytes: settings.segment_bytes(),
        cleaner_bytes_per_second: settings.cleaner_bytes_per_second(),
        scrub_bytes_per_second: settings.scrub_bytes_per_second(),
        ..logmill_log::Settings::default()
    };
    let storage = DiskStorage::open(&data_dir)
        .with_context(|| format!("can't use the data directory {}", data_dir.display()))?;
    let options = Options {
        storage: hooks.storage(Arc::new(storage)),
        data_dir,
        create_topics: settings.create_topics(),
        topics_on_demand: missing_topics == MissingTopics::Create,
        compile_apart: true,
        clock: Clock::machine(),
        retention_interval: settings.retention_interval(),
        before_call: hooks.before_call(),
        log,
    };
    Ok(logmill_server::serve(settings, options).await.map_err(anyhow::Error::from)?)
}

/// Resolves when the process is asked to end: SIGTERM, or SIGINT (Ctrl-C).
pub(crate) struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    /// Takes the two signals from here on.
    pub(crate) fn on_signals() -> Result<Self, Failure> {
        let take = |kind| signal(kind).context("can't handle signals");
        Ok(Self {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
        })
    }

    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
