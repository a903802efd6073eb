//! The writing end of the log.

use std::sync::Arc;
use std::thread::JoinHandle;

use logmill_model::{Csn, SpaceLevel, limits};

use crate::ahead::{Ahead, OnSpace};
use crate::queue::{Pending, Queue};
use crate::writer::Writer;
use crate::{Completion, Error, NewEntry, Stopped};

/// The single writer's handle: not `Clone`, since one thread alone decides the order of entries.
///
/// Dropping it stops the journal at once, as a crash would; [`close`](Self::close) ends it well.
#[derive(Debug)]
pub struct Journal {
    queue: Arc<Queue>,
    ahead: Arc<Ahead>,
    last_csn: Csn,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Journal {
    pub(crate) fn start(writer: Writer, last_csn: Csn) -> Result<Self, Error> {
        let (queue, ahead) = (writer.queue(), writer.ahead());
        let thread = std::thread::Builder::new()
            .name("logmill-journal".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| Error::io("start a thread for", "journal", error))?;
        Ok(Self { queue, ahead, last_csn, thread: Some(thread) })
    }

    /// Queues an entry and returns at once. `done` runs exactly once, whatever happens.
    ///
    /// The caller bounds what is in flight, in bytes, before it appends.
    ///
    /// # Errors
    /// [`Stopped`]; `done` has then been told [`Durability::Unknown`](crate::Durability::Unknown).
    ///
    /// # Panics
    /// When the entry's number is not one above the last one's, or it is larger than
    /// [`limits::COMMIT_BYTES_MAX`] by [`entry_bytes`](crate::entry_bytes), or has more appends
    /// than [`limits::APPENDS_MAX`]: written, such an entry would make the journal unreadable.
    pub fn append(&mut self, entry: NewEntry, done: Completion) -> Result<(), Stopped> {
        let NewEntry { csn, time, appends } = entry;
        assert_eq!(csn, self.last_csn.next(), "entries are numbered without a gap");
        assert!(appends.len() <= limits::APPENDS_MAX, "an entry has too many appends");
        let pending = Pending::new(csn, time, appends, done);
        assert!(pending.table.entry_bytes().0 <= limits::COMMIT_BYTES_MAX, "an entry is too large");
        self.last_csn = csn;
        self.queue.push(pending).map_err(|pending| {
            drop(pending);
            Stopped
        })
    }

    /// How much room the disk has for more. What is appended all the same waits for room; the
    /// caller refuses it before.
    #[must_use]
    pub fn space_level(&self) -> SpaceLevel {
        self.ahead.level()
    }

    /// Calls this with the level of the disk as it is, and with each new one. There is one watcher.
    pub fn watch_space(&self, watcher: OnSpace) {
        self.ahead.watch(watcher);
    }

    /// Waits until all that was appended is durable, and seals the journal, so that the next start
    /// knows that nothing is missing. What the disk has no room for is not waited for: it is told
    /// [`Durability::Unknown`](crate::Durability::Unknown), and was not written.
    ///
    /// # Errors
    /// The failure that stopped the journal, now or before.
    pub fn close(mut self) -> Result<(), Error> {
        self.queue.close();
        self.ahead.close();
        self.join()
    }

    fn join(&mut self) -> Result<(), Error> {
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.queue.abandon();
        self.ahead.close();
        if let Some(thread) = self.thread.take() {
            // A failure has been told to `on_fatal`; a panic here could only hide another one.
            let _ = thread.join();
        }
    }
}
