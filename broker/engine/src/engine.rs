//! Opening the engine, and ending it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use logmill_log::storage::Storage;
use logmill_log::{Opened, Recovered, Settings};
use logmill_model::internal::CursorRecord;
use logmill_model::{Csn, Epoch, LaneId, Offset, PartitionId, ShardId};
use logmill_wasm::Runtime;
use tokio::sync::watch;

use crate::Error;
use crate::catalog::Catalog;
use crate::core::Core;
use crate::deployments::Deployments;
use crate::modules::Modules;
use crate::pool::Pool;
use crate::sequencer::{Changes, Judge, Sequencer};
use crate::views::Views;

/// What an engine is opened with.
#[derive(Clone)]
pub struct Options {
    /// Where the journal lies.
    pub storage: Arc<dyn Storage>,
    /// Where modules (`modules/`) and their compiled code (`cache/`) lie.
    pub data_dir: PathBuf,
    /// Whether `deploy` creates the topics that a deployment needs.
    pub create_topics: bool,
    /// Whether a topic that is produced to or read from is created when it is missing.
    pub topics_on_demand: bool,
    /// The log's settings; its `on_fatal` is set by the engine.
    pub log: Settings,
}

/// A handle on the engine; all clones are the same one.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    options: Options,
    core: Arc<Core>,
    modules: Arc<Modules>,
    deployments: Deployments,
    recovered: Recovered,
    started: Instant,
    fatal: watch::Receiver<Option<String>>,
    sequencer_thread: Mutex<Option<JoinHandle<Result<(), logmill_log::Error>>>>,
}

/// What the internal topics say, gathered while the log is recovered.
#[derive(Default)]
struct Replayed {
    judge: Judge,
    catalog: Catalog,
    cursors: HashMap<LaneId, CursorRecord>,
    deleted: Vec<PartitionId>,
}

impl Engine {
    /// Opens the log and rebuilds all state from it, then starts what was deployed. Must be called
    /// inside a tokio runtime. Blocks while the log is read.
    ///
    /// # Errors
    /// [`Error::Log`] when the data directory can't be used as it is: nothing in it was changed;
    /// [`Error::Wasm`]; [`Error::Io`].
    pub async fn open(options: Options) -> Result<Self, Error> {
        let started = Instant::now();
        let (fatal_sender, fatal) = watch::channel(None);
        let mut settings = options.log.clone();
        settings.on_fatal = Arc::new(move |error| {
            fatal_sender.send_replace(Some(error.to_string()));
        });
        let storage = Arc::clone(&options.storage);
        let (opened, replayed) = tokio::task::spawn_blocking(move || replay(storage, settings))
            .await
            .map_err(|_| Error::ShuttingDown)??;
        let runtime = Runtime::new(logmill_wasm::Settings {
            cache: Some(options.data_dir.join("cache")),
            ..logmill_wasm::Settings::default()
        })?;
        let modules = Arc::new(Modules::open(&options.data_dir.join("modules"), runtime)?);
        Self::start(options, opened, replayed, modules, fatal, started)
    }

    fn start(
        options: Options,
        opened: Opened,
        replayed: Replayed,
        modules: Arc<Modules>,
        fatal: watch::Receiver<Option<String>>,
        started: Instant,
    ) -> Result<Self, Error> {
        let Opened { log, journal, recovered } = opened;
        let Replayed { judge, catalog, cursors, deleted } = replayed;
        for partition in deleted {
            log.forget(partition);
        }
        let thread_error = |source| Error::Io { what: "can't start a thread".to_owned(), source };
        let views = Arc::new(Views::new(log.clone(), catalog, cursors));
        let (sequencer, thread) =
            Sequencer::start(judge, journal, Arc::clone(&views), recovered.epoch)
                .map_err(thread_error)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let pool = Pool::start(cores).map_err(thread_error)?;
        let core = Arc::new(Core { log, views, sequencer, pool });
        let deployments = Deployments::new(Arc::clone(&core), Arc::clone(&modules));
        let engine = Self(Arc::new(Inner {
            options,
            core,
            modules,
            deployments,
            recovered,
            started,
            fatal,
            sequencer_thread: Mutex::new(Some(thread)),
        }));
        engine.start_deployments();
        Ok(engine)
    }

    /// Compiles and starts in the background: producing need not wait for a slow compile.
    fn start_deployments(&self) {
        let engine = self.clone();
        tokio::spawn(async move {
            let catalog = engine.core().views.catalog();
            for (name, _) in catalog.deployments() {
                let _control = engine.deployments().control.lock().await;
                // It may have been deployed anew or deleted since.
                if engine.core().views.catalog().deployment(name).is_some()
                    && engine.deployments().get(name).is_none()
                {
                    engine.deployments().activate(name).await;
                }
            }
        });
    }

    pub(crate) fn core(&self) -> &Core {
        &self.0.core
    }

    pub(crate) fn shared_core(&self) -> Arc<Core> {
        Arc::clone(&self.0.core)
    }

    pub(crate) fn shared_modules(&self) -> Arc<Modules> {
        Arc::clone(&self.0.modules)
    }

    pub(crate) fn deployments(&self) -> &Deployments {
        &self.0.deployments
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    /// What was found when the log was opened.
    #[must_use]
    pub fn recovered(&self) -> &Recovered {
        &self.0.recovered
    }

    /// The number of this start.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.0.recovered.epoch
    }

    /// The shard that this engine owns.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.0.recovered.shard
    }

    /// The newest durable commit.
    #[must_use]
    pub fn durable_csn(&self) -> Csn {
        self.0.core.log.durable_csn()
    }

    /// The log's counts.
    #[must_use]
    pub fn log_stats(&self) -> logmill_log::Stats {
        self.0.core.log.stats()
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// Whether the engine takes work; else why not.
    ///
    /// # Errors
    /// The reason, for a person.
    pub fn ready(&self) -> Result<(), String> {
        match &*self.0.fatal.borrow() {
            Some(why) => Err(format!("the journal has failed: {why}")),
            None => Ok(()),
        }
    }

    /// Resolves with the reason when the journal has failed. The process must then exit: nothing
    /// is acknowledged any more, and a failed sync is never tried again.
    pub async fn failed(&self) -> String {
        let mut fatal = self.0.fatal.clone();
        match fatal.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            // The journal was closed in order: it can't fail any more.
            Err(_) => std::future::pending().await,
        }
    }

    /// Stops: lanes settle and commit what they are handling, the door closes, and the journal is
    /// sealed with what was proposed before.
    ///
    /// # Errors
    /// [`Error::Log`] when the journal could not be closed in order; what was acknowledged is safe.
    pub async fn shutdown(&self) -> Result<(), Error> {
        let _control = self.0.deployments.control.lock().await;
        self.0.deployments.stop().await;
        self.0.core.sequencer.close().await;
        self.0.core.pool.close();
        let thread = self.0.sequencer_thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        let joined = tokio::task::spawn_blocking(move || thread.join())
            .await
            .map_err(|_| Error::ShuttingDown)?;
        joined.map_err(|_| Error::ShuttingDown)?.map_err(Error::Log)
    }
}

fn replay(storage: Arc<dyn Storage>, settings: Settings) -> Result<(Opened, Replayed), Error> {
    let mut replayed = Replayed::default();
    let opened = logmill_log::open(storage, settings, &mut |entry| {
        let changes = replayed.judge.recover(entry).map_err(|error| {
            logmill_log::Error::Refused { csn: entry.csn, what: error.to_string() }
        })?;
        let ends = entry.appends.iter().map(|it| (it.partition, it.envelope.end_offset()));
        replayed.apply(&changes, ends);
        Ok(())
    })?;
    Ok((opened, replayed))
}

impl Replayed {
    fn apply(&mut self, changes: &Changes, ends: impl Iterator<Item = (PartitionId, Offset)>) {
        for record in &changes.catalog {
            if let Some(crate::catalog::PartitionChange::Deleted(topic, partitions)) =
                self.catalog.apply(record)
            {
                self.deleted.extend((0..partitions).map(|index| PartitionId::new(topic, index)));
            }
        }
        for (partition, end) in ends {
            if partition == PartitionId::CATALOG {
                self.catalog.set_end(end);
            }
        }
        for (lane, cursor) in &changes.cursors {
            match cursor {
                Some(cursor) => self.cursors.insert(*lane, cursor.clone()),
                None => self.cursors.remove(lane),
            };
        }
    }
}
