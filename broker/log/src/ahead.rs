//! Journal files made ahead: space taken before it is needed, so that a full disk shows before
//! anything is lost by it.
//!
//! One thread, the maker, keeps [`AHEAD_FILES`] files ready, each allocated in full and holding
//! zeros alone. When the writer's file is full, it takes the oldest, gives it a header and its name.
//! How many are ready is also how it is known how full the disk is:
//!
//! | ready | level |
//! |---|---|
//! | 2, or fewer while more are being made | `Normal` |
//! | 1, and there is no space for more | `Full`: the file in use and this one are for cursors and housekeeping |
//! | 0, and there is no space for more | `Critical`: what is left of the file in use is for housekeeping |
//!
//! The maker leaves `reserve_bytes` of the disk alone, so that the cleaner can write before it
//! frees. What was sequenced before the level changed still has to be written; where it finds no
//! file ready, the writer takes what it needs from there.
//!
//! What a crash leaves of these files is never believed to hold zeros: a start removes them.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use logmill_model::SpaceLevel;

use crate::file_name::FOLDER;
use crate::storage::{Storage, StorageFile};
use crate::{Error, Settings};

/// How many files are kept ready.
pub(crate) const AHEAD_FILES: usize = 2;
/// Every name of such a file begins so; a number follows.
pub(crate) const AHEAD_PREFIX: &str = "ahead-";
/// How long a disk that is full is left alone before it is asked again.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// Called with each new level of the disk, at once and in order. It must not wait, nor call the
/// journal.
pub type OnSpace = Box<dyn Fn(SpaceLevel) + Send + Sync>;

/// A file that has its space, and nothing else yet.
#[derive(Debug, Clone)]
pub(crate) struct AheadFile {
    pub(crate) path: String,
    pub(crate) file: Arc<dyn StorageFile>,
    /// How much was allocated.
    pub(crate) bytes: u64,
}

impl AheadFile {
    /// Makes one and takes all its space. Leaves nothing behind when it fails.
    pub(crate) fn make(storage: &dyn Storage, number: u64, bytes: u64) -> Result<Self, Error> {
        let path = format!("{FOLDER}/{AHEAD_PREFIX}{number}");
        let file = storage.create(&path).map_err(|error| Error::io("create", &path, error))?;
        if let Err(error) = file.preallocate(bytes) {
            // What can't be removed is removed by the next start.
            let _ = storage.remove(&path);
            return Err(Error::io("allocate space for", &path, error));
        }
        Ok(Self { path, file, bytes })
    }

    /// Makes one of full size, or where the disk is too full for that, of the least size.
    pub(crate) fn make_first(
        storage: &dyn Storage,
        settings: &Settings,
        least: u64,
    ) -> Result<Self, Error> {
        match Self::make(storage, 0, settings.file_bytes().max(least)) {
            Err(error) if error.is_disk_full() => Self::make(storage, 0, least),
            made => made,
        }
    }
}

/// Removes what an earlier start has left.
pub(crate) fn clear(storage: &dyn Storage) -> Result<(), Error> {
    let names = storage.list(FOLDER).map_err(|error| Error::io("list", FOLDER, error))?;
    for name in names.iter().filter(|name| name.starts_with(AHEAD_PREFIX)) {
        let path = format!("{FOLDER}/{name}");
        storage.remove(&path).map_err(|error| Error::io("remove", &path, error))?;
    }
    Ok(())
}

/// Why there are fewer files than there should be, when it is not that one is being made.
enum Trouble {
    Full,
    Failed(Error),
}

#[derive(Default)]
struct State {
    ready: VecDeque<AheadFile>,
    trouble: Option<Trouble>,
    /// The maker lets some time pass before it tries again.
    pausing: bool,
    /// The maker is to end.
    stopped: bool,
    /// The maker has ended.
    ended: bool,
    /// The journal takes no more entries: nobody is to wait for space.
    closing: bool,
    on_space: Option<OnSpace>,
}

impl State {
    fn level(&self) -> SpaceLevel {
        match (&self.trouble, self.ready.len()) {
            (Some(Trouble::Full), 0) => SpaceLevel::Critical,
            (Some(Trouble::Full), _) => SpaceLevel::Full,
            _ => SpaceLevel::Normal,
        }
    }
}

/// The files that are ready, shared by the maker, the writer, and whoever asks for the level.
pub(crate) struct Ahead {
    storage: Arc<dyn Storage>,
    settings: Settings,
    state: Mutex<State>,
    changed: Condvar,
    /// Changed with the state locked only; read without.
    level: AtomicU8,
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ahead").field("level", &self.level()).finish_non_exhaustive()
    }
}

const LEVELS: [SpaceLevel; 3] = [SpaceLevel::Normal, SpaceLevel::Full, SpaceLevel::Critical];

impl Ahead {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much room the disk has.
    pub(crate) fn level(&self) -> SpaceLevel {
        LEVELS[usize::from(self.level.load(Ordering::Acquire))]
    }

    /// Calls this with the level as it is, and with each new one.
    pub(crate) fn watch(&self, on_space: OnSpace) {
        let mut state = self.state();
        on_space(state.level());
        state.on_space = Some(on_space);
    }

    /// The state has changed: wakes who waits for that, and tells a new level.
    fn tell(&self, state: &State) {
        self.changed.notify_all();
        let level = state.level();
        if level == self.level() {
            return;
        }
        self.level.store(level as u8, Ordering::Release);
        if level == SpaceLevel::Normal {
            tracing::info!("the disk has room again");
        } else {
            let refused = match level {
                SpaceLevel::Critical => "everything that does not free space",
                _ => "records, outputs and dead letters",
            };
            tracing::warn!(
                refused,
                "the disk is full; free some space, the broker goes on by itself"
            );
        }
        if let Some(on_space) = &state.on_space {
            on_space(level);
        }
    }

    /// The next file; None while the disk has no room for one.
    ///
    /// Waits until it is known whether the disk has room for the file that is to follow: so the last
    /// one is never in use before the level says so.
    pub(crate) fn take(&self) -> Result<Option<AheadFile>, Error> {
        let mut state = self.state();
        while state.ready.len() < AHEAD_FILES && state.trouble.is_none() && !state.ended {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(file) = state.ready.pop_front() {
            self.tell(&state);
            return Ok(Some(file));
        }
        match &state.trouble {
            Some(Trouble::Full) => Ok(None),
            Some(Trouble::Failed(error)) => Err(error.clone()),
            None => {
                let error = io::Error::other("the thread that makes journal files has ended");
                Err(Error::io("make a file in", FOLDER, error))
            }
        }
    }

    /// Takes back a file that got no name, since the disk has no room even for that.
    pub(crate) fn put_back(&self, file: AheadFile) {
        let mut state = self.state();
        state.ready.push_front(file);
        state.trouble = Some(Trouble::Full);
        state.pausing = true;
        self.tell(&state);
    }

    /// Waits until there may be space; false when the journal is being closed.
    pub(crate) fn wait_for_space(&self) -> bool {
        let state = self.state();
        if state.closing {
            return false;
        }
        let waited = self.changed.wait_timeout(state, RETRY_WAIT);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !state.closing
    }

    /// Nobody is to wait for space any more.
    pub(crate) fn close(&self) {
        self.state().closing = true;
        self.changed.notify_all();
    }

    fn make_files(&self) {
        let mut number = 1;
        while self.wait_for_demand() {
            let made = self.make(number);
            number += 1;
            self.put(made);
        }
    }

    /// Waits until a file is to be made; false when the maker is to end.
    fn wait_for_demand(&self) -> bool {
        let mut state = self.state();
        loop {
            if state.stopped {
                return false;
            }
            let enough = state.ready.len() >= AHEAD_FILES;
            if state.pausing {
                let waited = self.changed.wait_timeout(state, RETRY_WAIT);
                let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                state = guard;
                state.pausing = !timeout.timed_out();
            } else if !enough {
                return true;
            } else if state.trouble.take().is_some() {
                // A file was put back; the next try shows whether it gets its name now.
                self.tell(&state);
            } else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn make(&self, number: u64) -> Result<AheadFile, Trouble> {
        let bytes = self.settings.file_bytes();
        let available = self.storage.available().map_err(|error| {
            Trouble::Failed(Error::io("ask for the free space of", &self.storage.place(), error))
        })?;
        if available < bytes.saturating_add(self.settings.reserve_bytes) {
            return Err(Trouble::Full);
        }
        AheadFile::make(&*self.storage, number, bytes).map_err(|error| {
            if error.is_disk_full() { Trouble::Full } else { Trouble::Failed(error) }
        })
    }

    fn put(&self, made: Result<AheadFile, Trouble>) {
        let mut state = self.state();
        match made {
            Ok(file) => {
                state.ready.push_back(file);
                // With one of two, the level stays until it is certain that there is room.
                if state.ready.len() >= AHEAD_FILES {
                    state.trouble = None;
                }
            }
            Err(trouble) => {
                state.pausing = true;
                state.trouble = Some(trouble);
            }
        }
        self.tell(&state);
    }

    /// Removes the files that are ready: a stopped broker takes no more disk than its journal.
    fn remove_ready(&self) {
        for file in self.state().ready.drain(..) {
            // What stays is removed by the next start.
            let _ = self.storage.remove(&file.path);
        }
    }
}

/// The thread that makes files. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Maker {
    ahead: Arc<Ahead>,
    thread: Option<JoinHandle<()>>,
}

impl Maker {
    pub(crate) fn start(storage: Arc<dyn Storage>, settings: Settings) -> Result<Self, Error> {
        let ahead = Arc::new(Ahead {
            storage,
            settings,
            state: Mutex::default(),
            changed: Condvar::new(),
            level: AtomicU8::new(0),
        });
        let shared = Ended(Arc::clone(&ahead));
        let thread = std::thread::Builder::new()
            .name("logmill-ahead".to_owned())
            .spawn(move || shared.0.make_files())
            .map_err(|error| Error::io("start a thread for", FOLDER, error))?;
        Ok(Self { ahead, thread: Some(thread) })
    }

    pub(crate) fn ahead(&self) -> &Arc<Ahead> {
        &self.ahead
    }

    /// Ends the thread, and removes what it has made and nobody took.
    pub(crate) fn finish(&mut self) {
        self.stop();
        self.ahead.remove_ready();
    }

    fn stop(&mut self) {
        self.ahead.state().stopped = true;
        self.ahead.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of it is told to who takes a file.
            let _ = thread.join();
        }
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Says that the maker has ended, however it did.
struct Ended(Arc<Ahead>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.state().ended = true;
        self.0.changed.notify_all();
    }
}
