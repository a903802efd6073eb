//! A data directory whose broker kills itself, as `kill -9` does, at a step that the test chooses:
//! in this way a real process dies between any two steps of what it does on its disk.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use logmill_log::storage::{Storage, StorageFile, StorageLock, SyncSite};

/// The environment variable that arms it. It is read by the tests' own program alone.
pub const VARIABLE: &str = "HARNESS_DIE_AT";

/// What it says on stderr at the end, followed by the step.
pub const LAST_WORDS: &str = "killed at";

/// What is done to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Whatever changes anything.
    Any,
    /// Whatever changes anything; where it is a write, half of it happens before the end.
    AnyTorn,
    /// A file is made.
    Create,
    /// A file gets another name.
    Rename,
    /// A file is removed.
    Remove,
    /// Bytes are written.
    Write,
    /// A file is cut.
    Truncate,
    /// Space is taken.
    Preallocate,
    /// A file or a folder is synced.
    Sync,
}

const NAMES: [(Step, &str); 9] = [
    (Step::Any, "any"),
    (Step::AnyTorn, "any-torn"),
    (Step::Create, "create"),
    (Step::Rename, "rename"),
    (Step::Remove, "remove"),
    (Step::Write, "write"),
    (Step::Truncate, "truncate"),
    (Step::Preallocate, "preallocate"),
    (Step::Sync, "sync"),
];

/// When steps are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountFrom {
    /// From the start on.
    Start,
    /// As soon as the test has said so, by [`Broker::arm`](crate::Broker::arm).
    Armed,
}

/// The end: instead of the `nth` such step on a path that begins so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DieAt {
    /// What is done.
    pub step: Step,
    /// What it is done to: the beginning of a path below the data directory.
    pub path: String,
    /// Counted from 1.
    pub nth: u64,
    /// When the count begins.
    pub from: CountFrom,
}

/// The file in the data directory by which the test says that steps count.
pub const ARMED: &str = "armed";

impl DieAt {
    /// The value of the variable.
    #[must_use]
    pub fn to_variable(&self) -> String {
        let name = NAMES.iter().find(|(step, _)| *step == self.step).map_or("", |(_, name)| name);
        let from = if self.from == CountFrom::Start { "start" } else { ARMED };
        format!("{name} {} {from} {}", self.nth, self.path)
    }

    fn of_variable(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        let name = words.next()?;
        let step = NAMES.iter().find(|(_, it)| *it == name)?.0;
        let nth = words.next()?.parse().ok()?;
        let from = if words.next()? == ARMED { CountFrom::Armed } else { CountFrom::Start };
        Some(Self { step, nth, from, path: words.next()?.to_owned() })
    }
}

/// The storage, or one that dies where the variable says so.
///
/// # Panics
/// When the variable can't be read.
#[must_use]
pub fn wrap(storage: Arc<dyn Storage>) -> Arc<dyn Storage> {
    let Ok(text) = std::env::var(VARIABLE) else { return storage };
    let die_at = DieAt::of_variable(&text).expect("the step to die at is well-formed");
    let armed = Path::new(&storage.place()).join(ARMED);
    let steps = Arc::new(Steps { die_at, armed, met: AtomicU64::new(0) });
    Arc::new(MortalStorage { storage, steps })
}

#[derive(Debug)]
struct Steps {
    die_at: DieAt,
    armed: PathBuf,
    met: AtomicU64,
}

impl Steps {
    /// Whether this is the step to die at.
    fn is_last(&self, step: Step, path: &str) -> bool {
        let DieAt { step: chosen, path: prefix, nth, from } = &self.die_at;
        let any = matches!(chosen, Step::Any | Step::AnyTorn);
        (any || *chosen == step)
            && path.starts_with(prefix.as_str())
            && (*from == CountFrom::Start || self.armed.exists())
            && self.met.fetch_add(1, Ordering::Relaxed) + 1 == *nth
    }

    fn meet(&self, step: Step, path: &str) {
        if self.is_last(step, path) {
            die(step, path);
        }
    }
}

fn die(step: Step, path: &str) -> ! {
    eprintln!("{LAST_WORDS}: {step:?} {path}");
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    loop {
        // The signal is on its way.
        std::thread::park();
    }
}

#[derive(Debug)]
struct MortalStorage {
    storage: Arc<dyn Storage>,
    steps: Arc<Steps>,
}

impl MortalStorage {
    fn file(&self, path: &str, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(MortalFile { file, path: path.to_owned(), steps: Arc::clone(&self.steps) })
    }
}

impl Storage for MortalStorage {
    fn place(&self) -> String {
        self.storage.place()
    }

    fn available(&self) -> io::Result<u64> {
        self.storage.available()
    }

    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        self.storage.lock()
    }

    fn make_folder(&self, folder: &str) -> io::Result<()> {
        self.steps.meet(Step::Create, folder);
        self.storage.make_folder(folder)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.storage.list(folder)
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.steps.meet(Step::Create, path);
        Ok(self.file(path, self.storage.create(path)?))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(path, self.storage.open(path)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.steps.meet(Step::Rename, from);
        self.storage.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.steps.meet(Step::Remove, path);
        self.storage.remove(path)
    }

    fn sync_folder(&self, folder: &str, site: SyncSite) -> io::Result<()> {
        self.steps.meet(Step::Sync, folder);
        self.storage.sync_folder(folder, site)
    }
}

#[derive(Debug)]
struct MortalFile {
    file: Arc<dyn StorageFile>,
    path: String,
    steps: Arc<Steps>,
}

impl StorageFile for MortalFile {
    fn bytes(&self) -> io::Result<u64> {
        self.file.bytes()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buffer, position)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        if self.steps.is_last(Step::Write, &self.path) {
            if self.steps.die_at.step == Step::AnyTorn {
                let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
                self.file.write_at(&[IoSlice::new(&bytes[..bytes.len() / 2])], position)?;
            }
            die(Step::Write, &self.path);
        }
        self.file.write_at(parts, position)
    }

    fn preallocate(&self, end: u64) -> io::Result<()> {
        self.steps.meet(Step::Preallocate, &self.path);
        self.file.preallocate(end)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.steps.meet(Step::Truncate, &self.path);
        self.file.truncate(bytes)
    }

    fn sync(&self, site: SyncSite) -> io::Result<()> {
        self.steps.meet(Step::Sync, &self.path);
        self.file.sync(site)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_to_die_at_survives_the_environment() {
        for (step, _) in NAMES {
            let die_at =
                DieAt { step, path: "journal/ahead 1".to_owned(), nth: 17, from: CountFrom::Armed };
            assert_eq!(DieAt::of_variable(&die_at.to_variable()), Some(die_at));
        }
        assert_eq!(DieAt::of_variable("nonsense 1 start journal/"), None);
    }

    #[test]
    fn steps_are_counted_where_they_are_meant() {
        let path = "journal/".to_owned();
        let die_at = DieAt { step: Step::Sync, path, nth: 2, from: CountFrom::Start };
        let steps = Steps { die_at, armed: PathBuf::new(), met: AtomicU64::new(0) };
        assert!(!steps.is_last(Step::Sync, "journal/a"));
        assert!(!steps.is_last(Step::Write, "journal/a"));
        assert!(!steps.is_last(Step::Sync, "segments/a"));
        assert!(steps.is_last(Step::Sync, "journal/b"));
        assert!(!steps.is_last(Step::Sync, "journal/b"));
    }
}
