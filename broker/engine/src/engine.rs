//! Opening the engine, and ending it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use logmill_log::storage::Storage;
use logmill_log::{Opened, Recovered, Scrubber, Settings};
use logmill_model::{Csn, Epoch, Message, ShardId};
use logmill_wasm::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Error;
use crate::backup::Backups;
use crate::board::Board;
use crate::clock::Clock;
use crate::deploy::pause_broken;
use crate::deployments::{Deployments, LaneParts};
use crate::housekeeper::{CleanerStats, Housekeeper};
use crate::limits::{ALARMS_MAX, CONTROL_WAIT_MAX};
use crate::modules::Modules;
use crate::parts::{Parts, SequencerThread, Started};
use crate::replay::{Replayed, replay};
use crate::snapshot::Keeper;
use crate::{letters, retention};

/// What is called with a record before a consumer is.
pub type BeforeCall = Arc<dyn Fn(&Message) + Send + Sync>;

/// What an engine is opened with.
#[derive(Clone)]
pub struct Options {
    /// Where the journal and the modules (`modules/`) lie.
    pub storage: Arc<dyn Storage>,
    /// Where the modules' compiled code (`cache/`) lies: it can be made again.
    pub data_dir: PathBuf,
    /// Whether `deploy` creates the topics that a deployment needs.
    pub create_topics: bool,
    /// Whether a topic that is produced to or read from is created when it is missing.
    pub topics_on_demand: bool,
    /// Whether modules are compiled in processes of their own: for a program that begins with
    /// `logmill_wasm::compile_if_asked`.
    pub compile_apart: bool,
    /// What tells the time.
    pub clock: Clock,
    /// How often retention looks for what is to be removed.
    pub retention_interval: Duration,
    /// A fail point: called on the thread of each call of a consumer, before it. None in the product.
    pub before_call: Option<BeforeCall>,
    /// The log's settings; its `on_fatal` is set by the engine.
    pub log: Settings,
}

/// A handle on the engine; all clones are the same one.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

/// An engine that may be gone: what works for it must not keep it.
pub(crate) struct WeakEngine(Weak<Inner>);

impl WeakEngine {
    pub(crate) fn upgrade(&self) -> Option<Engine> {
        self.0.upgrade().map(Engine)
    }
}

struct Inner {
    options: Options,
    parts: Arc<Parts>,
    modules: Arc<Modules>,
    deployments: Deployments,
    keeper: Keeper,
    backups: Backups,
    housekeeper: Housekeeper,
    recovered: Recovered,
    scrubber: Scrubber,
    started: Instant,
    fatal: watch::Receiver<Option<String>>,
    stopping: AtomicBool,
    /// Tells tasks in the background to stop.
    stop: watch::Sender<bool>,
    background: Mutex<Vec<JoinHandle<()>>>,
    sequencer_thread: Mutex<Option<SequencerThread>>,
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
            compile_apart: options.compile_apart,
            ..logmill_wasm::Settings::default()
        })?;
        let modules = Arc::new(Modules::open(Arc::clone(&options.storage), runtime)?);
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
        let read_bytes = replayed.read_bytes;
        let started_parts =
            Parts::start(opened, replayed, options.clock.clone()).map_err(no_thread)?;
        let Started { parts, recovered, cleaner, thread } = started_parts;
        let scrubber = parts.log.scrub(options.log.scrub_bytes_per_second).map_err(no_thread)?;
        let (alarm, alarms) = mpsc::channel(ALARMS_MAX);
        // The log is ours by now, and with it the data directory.
        let board = Arc::new(Board::open(&options.data_dir, parts.pool.workers_max()));
        let lanes = LaneParts { board, before_call: options.before_call.clone(), alarms: alarm };
        let deployments = Deployments::new(Arc::clone(&parts), Arc::clone(&modules), lanes);
        let storage = Arc::clone(&options.storage);
        let keeper = Keeper::new(Arc::clone(&parts), storage, recovered.cluster);
        let (stop, stopped) = watch::channel(false);
        let interval = options.retention_interval;
        let retention = retention::run(Arc::clone(&parts), interval, stopped.clone());
        let sweep = letters::sweep::run(Arc::clone(&parts), interval, stopped.clone());
        let housekeeper = Housekeeper::new(Arc::clone(&parts), &options.log);
        let background = vec![
            keeper.start(read_bytes, stopped.clone()),
            tokio::spawn(retention),
            tokio::spawn(sweep),
            housekeeper.start(cleaner, stopped.clone()),
        ];
        let engine = Self(Arc::new(Inner {
            options,
            keeper,
            backups: Backups::default(),
            housekeeper,
            stop,
            background: Mutex::new(background),
            parts,
            modules,
            deployments,
            recovered,
            scrubber,
            started,
            fatal,
            stopping: AtomicBool::new(false),
            sequencer_thread: Mutex::new(Some(thread)),
        }));
        let pauses = tokio::spawn(pause_broken(engine.weak(), alarms, stopped));
        engine.0.background.lock().unwrap_or_else(PoisonError::into_inner).push(pauses);
        engine.start_deployments();
        Ok(engine)
    }

    /// Compiles and starts in the background: producing need not wait for a slow compile.
    fn start_deployments(&self) {
        let catalog = self.parts().views.catalog();
        self.deployments().announce(&catalog);
        let engine = self.clone();
        tokio::spawn(async move {
            for (name, _) in catalog.deployments() {
                if let Some(version) = catalog.active_version(name) {
                    // Compiled before the lock is taken; `activate` tells what goes wrong.
                    let _ = engine.0.modules.get(version.digest).await;
                }
                let _control = engine.deployments().control.lock().await;
                if engine.is_stopping() {
                    return;
                }
                engine.deployments().start(name).await;
            }
        });
    }

    fn weak(&self) -> WeakEngine {
        WeakEngine(Arc::downgrade(&self.0))
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.0.parts
    }

    pub(crate) fn shared_parts(&self) -> Arc<Parts> {
        Arc::clone(&self.0.parts)
    }

    pub(crate) fn shared_modules(&self) -> Arc<Modules> {
        Arc::clone(&self.0.modules)
    }

    pub(crate) fn deployments(&self) -> &Deployments {
        &self.0.deployments
    }

    pub(crate) fn backups(&self) -> &Backups {
        &self.0.backups
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
        self.0.parts.log.durable_csn()
    }

    /// The log's counts.
    #[must_use]
    pub fn log_stats(&self) -> logmill_log::Stats {
        self.0.parts.log.stats()
    }

    /// Follows what cleaning the log has done, and what it has to do.
    #[must_use]
    pub fn watch_cleaner(&self) -> watch::Receiver<CleanerStats> {
        self.0.housekeeper.watch()
    }

    /// Believes the wall clock as it is now, after it has jumped.
    pub fn accept_clock(&self) {
        self.0.options.clock.accept();
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// Whether the engine takes work; else why not.
    ///
    /// # Errors
    /// The reason, for a person.
    pub fn ready(&self) -> Result<(), String> {
        match self.failure() {
            Some(why) => Err(format!("the journal has failed: {why}")),
            None if self.is_stopping() => Err("the broker is shutting down".to_owned()),
            None => Ok(()),
        }
    }

    fn failure(&self) -> Option<String> {
        if let Some(why) = &*self.0.fatal.borrow() {
            return Some(why.clone());
        }
        let ended = self.0.fatal.has_changed().is_err();
        (ended && !self.is_stopping()).then(|| "its thread has ended".to_owned())
    }

    /// Resolves with the reason when the journal has failed. The process must then exit: nothing
    /// is acknowledged any more, and a failed sync is never tried again.
    pub async fn failed(&self) -> String {
        let mut fatal = self.0.fatal.clone();
        // An error is a journal that has ended: in order, or with its thread.
        let _ = fatal.wait_for(Option::is_some).await;
        match self.failure() {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }

    /// Stops: lanes settle and commit what they are handling, the door closes, and the journal is
    /// sealed with what was proposed before.
    ///
    /// # Errors
    /// [`Error::Log`] when the journal could not be closed in order; what was acknowledged is safe.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.0.stopping.store(true, Ordering::Release);
        self.0.scrubber.stop();
        // A deploy that takes longer finds the door closed.
        let _control = timeout(CONTROL_WAIT_MAX, self.0.deployments.control.lock()).await;
        self.0.deployments.stop().await;
        self.0.stop.send_replace(true);
        self.0.housekeeper.stop();
        let background =
            std::mem::take(&mut *self.0.background.lock().unwrap_or_else(PoisonError::into_inner));
        for task in background {
            // One that has panicked has said so; there is nothing to wait for.
            let _ = task.await;
        }
        self.0.keeper.keep().await;
        self.0.parts.sequencer.close().await;
        self.0.parts.pool.close();
        self.0.deployments.lane_parts().board.remove();
        let thread = self.0.sequencer_thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        let joined = tokio::task::spawn_blocking(move || thread.join())
            .await
            .map_err(|_| Error::ShuttingDown)?;
        joined.map_err(|_| Error::ShuttingDown)?.map_err(Error::Log)
    }
}

fn no_thread(source: std::io::Error) -> Error {
    Error::Io { what: "can't start a thread".to_owned(), source }
}
