//! A broker in this process: the one behind `serve` and `dev`.

use std::sync::Arc;

use anyhow::Context as _;
use logmill_engine::Options;
use logmill_engine::clock::Clock;
use logmill_log::storage::DiskStorage;
use logmill_server::{Server, Settings};
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

/// Starts a broker. When this returns, clients can connect.
pub(crate) async fn start(
    settings: Settings,
    missing_topics: MissingTopics,
    hooks: &Hooks,
) -> Result<Server, Failure> {
    let data_dir = settings.data().to_owned();
    logmill_server::create_data_directory(&data_dir).map_err(anyhow::Error::from)?;
    let storage = DiskStorage::open(&data_dir)
        .with_context(|| format!("can't use the data directory {}", data_dir.display()))?;
    let options = Options {
        storage: Arc::new(storage),
        data_dir,
        create_topics: settings.create_topics(),
        topics_on_demand: missing_topics == MissingTopics::Create,
        compile_apart: true,
        clock: Clock::machine(),
        log: logmill_log::Settings::default(),
    };
    // Taken apart, so that a hook that comes to be is not forgotten here.
    let Hooks {} = hooks;
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
