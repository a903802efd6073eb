//! The writer: one thread that makes entries durable, then visible, then acknowledged.
//!
//! It takes all that is queued when the last sync has returned, writes it at once and syncs once:
//! the longer a sync takes, the more entries share the next one, and nobody waits for company. When
//! it fails, nothing is acknowledged any more, and it never syncs again.

mod current;
mod group;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use logmill_model::Csn;

use crate::active_file::{ActiveFile, Beginning, Identity, Newest};
use crate::ahead::{Ahead, Maker};
use crate::entry::{ALIGNMENT, ENTRY_HEADER_BYTES, EntryHeader, Kind, SealReason};
use crate::index::EntryPlace;
use crate::queue::{Pending, Queue, Work};
use crate::stats::add;
use crate::storage::{Storage, StorageLock, SyncSite};
use crate::tail::TailRing;
use crate::visible::Visible;
use crate::{Error, Settings};
pub(crate) use current::Current;
use group::Group;

/// What recovery hands to the writer.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) settings: Settings,
    pub(crate) visible: Arc<Visible>,
    pub(crate) identity: Identity,
    pub(crate) current: Current,
    pub(crate) newest: Newest,
    pub(crate) proven: Csn,
    pub(crate) maker: Maker,
    pub(crate) lock: Box<dyn StorageLock>,
}

pub(crate) struct Writer {
    queue: Arc<Queue>,
    storage: Arc<dyn Storage>,
    settings: Settings,
    visible: Arc<Visible>,
    identity: Identity,
    current: Current,
    /// The newest commit that was given its place, durable or not.
    newest: Newest,
    /// The newest commit that something durable in the journal says was durable.
    proven: Csn,
    /// Taken from the queue, and not acknowledged yet.
    in_flight: VecDeque<Pending>,
    group: Group,
    tail: TailRing,
    /// Ended before the lock is given up: it makes files in the directory.
    maker: Maker,
    /// The directory is ours until the writer is gone.
    _lock: Box<dyn StorageLock>,
}

impl Writer {
    pub(crate) fn new(start: Start) -> Self {
        let Start { storage, settings, visible, identity, current, newest, proven, maker, lock } =
            start;
        Self {
            queue: Arc::new(Queue::new()),
            tail: TailRing::new(settings.tail_bytes),
            storage,
            settings,
            visible,
            identity,
            current,
            newest,
            proven,
            in_flight: VecDeque::new(),
            group: Group::default(),
            maker,
            _lock: lock,
        }
    }

    pub(crate) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    pub(crate) fn ahead(&self) -> Arc<Ahead> {
        Arc::clone(self.maker.ahead())
    }

    /// Works until the journal is closed, dropped, or fails.
    pub(crate) fn run(mut self) -> Result<(), Error> {
        let result = self.work();
        if let Err(error) = &result {
            tracing::error!(%error, "the journal has failed");
            (self.settings.on_fatal)(error);
        }
        result
    }

    fn work(&mut self) -> Result<(), Error> {
        loop {
            let idle_after =
                (self.proven < self.newest.csn).then_some(self.settings.checkpoint_after);
            match self.queue.take(&mut self.in_flight, idle_after) {
                Work::Entries => {
                    if self.write_entries()? == Room::Refused {
                        return self.end_without_room();
                    }
                }
                Work::Idle => self.checkpoint()?,
                Work::Close => return self.end(),
                Work::Abandon => return Ok(()),
            }
        }
    }

    fn write_entries(&mut self) -> Result<Room, Error> {
        while let Some(next) = self.in_flight.front() {
            let bytes = next.table.entry_bytes().0 as u64;
            if self.make_room(bytes)? == Room::Refused {
                return Ok(Room::Refused);
            }
            let positions = self.build_group();
            self.write_group()?;
            self.publish(&positions);
            self.acknowledge(positions.len());
        }
        Ok(Room::Found)
    }

    /// Finds space for the next entry: in the file, in a new one, or where the disk has no room for
    /// that, as much more of this one as the entries in flight need. A disk that is full is waited
    /// for: nothing of the entry is written yet, and nothing is lost.
    fn make_room(&mut self, entry_bytes: u64) -> Result<Room, Error> {
        while !self.current.file.has_room(self.current.file.position(), entry_bytes) {
            let rolled = self.current.file.has_commits() && self.roll()?;
            if rolled || self.grow(entry_bytes)? {
                continue;
            }
            if !self.ahead().wait_for_space() {
                return Ok(Room::Refused);
            }
        }
        Ok(Room::Found)
    }

    fn grow(&mut self, entry_bytes: u64) -> Result<bool, Error> {
        let all = self.in_flight.iter().map(|entry| entry.table.entry_bytes().0 as u64).sum();
        Ok(self.current.file.grow(all)? || self.current.file.grow(entry_bytes)?)
    }

    /// Seals the journal: all that was appended is durable.
    fn end(&mut self) -> Result<(), Error> {
        self.seal(SealReason::Stopped)?;
        self.maker.finish();
        Ok(())
    }

    /// Ends a journal that was closed while there was no room for what it was given. None of that
    /// was written, and entries that follow it must not be, however small.
    fn end_without_room(&mut self) -> Result<(), Error> {
        self.in_flight.clear();
        if self.queue.stop() { self.end() } else { Ok(()) }
    }

    /// Lays out the entries in flight, as many as the file has room for; returns where each lies.
    fn build_group(&mut self) -> Vec<u64> {
        self.group.clear();
        let durable_csn = self.visible.durable_csn();
        let mut positions = Vec::with_capacity(self.in_flight.len());
        for entry in &self.in_flight {
            let (bytes, padding) = entry.table.entry_bytes();
            let position = self.current.file.position() + self.group.bytes();
            if !self.current.file.has_room(position, bytes as u64) {
                break;
            }
            let header = EntryHeader {
                kind: Kind::Commit,
                shard: self.identity.shard,
                prev_crc: self.newest.entry_crc,
                length: u32::try_from(bytes).expect("at most COMMIT_BYTES_MAX"),
                appends: u32::try_from(entry.appends.len()).expect("at most APPENDS_MAX"),
                csn: entry.csn,
                epoch: self.identity.epoch,
                time: entry.time,
                durable_csn,
                table_crc: entry.table.crc,
            };
            let (head, entry_crc) = header.encode(self.current.file.salt());
            self.group.gather(&head);
            self.group.gather(&entry.table.bytes);
            entry.appends.iter().for_each(|append| self.group.push_batch(append.batch.bytes()));
            self.group.gather(&[0; ALIGNMENT][..padding]);
            self.newest = Newest { csn: entry.csn, entry_crc, time: entry.time };
            positions.push(position);
        }
        positions
    }

    fn write_group(&mut self) -> Result<(), Error> {
        let proven = self.visible.durable_csn();
        self.current.file.write_commits(&self.group.slices(), self.group.bytes())?;
        self.current.file.sync(SyncSite::GROUP)?;
        self.proven = proven;
        Ok(())
    }

    /// Shows the entries to readers. They are durable.
    fn publish(&mut self, positions: &[u64]) {
        for (entry, position) in self.in_flight.iter_mut().zip(positions) {
            let bytes = u32::try_from(entry.table.entry_bytes().0);
            let place = EntryPlace::new(*position, bytes.expect("at most COMMIT_BYTES_MAX"));
            for append in std::mem::take(&mut entry.appends) {
                self.current.add(append.partition, place, &append.envelope);
                let partition = self.visible.partition_or_new(append.partition);
                self.tail.push(partition, (&self.current.shown, place), append);
            }
        }
        self.visible.set_durable_csn(self.newest.csn);
        let counters = &self.visible.counters;
        add(&counters.syncs, 1);
        add(&counters.entries, positions.len() as u64);
        add(&counters.bytes, self.group.bytes());
        add(&counters.journal_bytes, self.group.bytes());
    }

    /// Tells the proposers. Readers see their entries.
    fn acknowledge(&mut self, entries: usize) {
        for _ in 0..entries {
            if let Some(entry) = self.in_flight.pop_front() {
                entry.complete();
            }
        }
    }

    /// Proves the last commits durable while nothing else does.
    fn checkpoint(&mut self) -> Result<(), Error> {
        self.write_mark(Kind::Checkpoint, SyncSite::CHECKPOINT)?;
        add(&self.visible.counters.checkpoints, 1);
        Ok(())
    }

    /// Goes on in a new file, if one is to be had. The new one is durable before the old one is
    /// sealed, and the seal before the new one gets an entry.
    fn roll(&mut self) -> Result<bool, Error> {
        let Some(ahead) = self.ahead().take()? else { return Ok(false) };
        let beginning = Beginning { first: self.newest.csn.next(), supersedes: None };
        let begun = ActiveFile::begin(&*self.storage, ahead.clone(), self.identity, beginning);
        let next = match begun {
            // It has no name yet, and nothing of the journal is in it.
            Err(error @ Error::Io { .. }) if error.is_disk_full() => {
                self.ahead().put_back(ahead);
                return Ok(false);
            }
            begun => begun?,
        };
        tracing::debug!(path = next.path(), "a new journal file");
        let counters = &self.visible.counters;
        add(&counters.journal_files, 1);
        add(&counters.journal_bytes, next.position());
        let next = Current::new(next, self.newest, &self.visible);
        self.seal(SealReason::Rolled)?;
        self.current = next;
        Ok(true)
    }

    fn seal(&mut self, reason: SealReason) -> Result<(), Error> {
        self.write_mark(Kind::Seal(reason), SyncSite::SEAL)?;
        self.current.end(reason, self.newest, &*self.storage, &self.visible);
        Ok(())
    }

    fn write_mark(&mut self, kind: Kind, site: SyncSite) -> Result<(), Error> {
        let durable = self.visible.durable_csn();
        self.current.file.write_mark(kind, self.newest, durable, site)?;
        self.visible.counters.journal_bytes.fetch_add(ENTRY_HEADER_BYTES as u64, Relaxed);
        self.proven = durable;
        Ok(())
    }
}

/// Whether there is space for what is to be written.
#[derive(Debug, PartialEq, Eq)]
enum Room {
    Found,
    /// There is none, and the journal was closed while it waited.
    Refused,
}

impl Drop for Writer {
    /// However the writer ends, everybody gets an answer.
    fn drop(&mut self) {
        self.in_flight.clear();
        self.queue.stop();
    }
}
