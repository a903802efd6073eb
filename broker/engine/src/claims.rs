//! The keys that a deployment has claimed, over all its lanes: those that are durable and within its
//! window, and those that a record under way has claimed and that nobody knows the outcome of.
//!
//! **Nobody waits in here.** Who asks for a key that another lane's record holds is told so, gives back
//! what it holds itself, and comes again when that one is settled. So no two lanes wait for one another.

mod read;
mod ring;
mod table;

use std::hint::black_box;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hashbrown::HashTable;
use logmill_model::internal::ClaimRecord;
use logmill_model::{DeploymentId, Offset, PartitionId, Record, Timestamp};
use tokio::sync::{OnceCell, watch};

use crate::Error;
use crate::limits::{CLAIMS_MAX, EXPIRE_MAX};
use crate::parts::Parts;

pub(crate) use read::Places;
pub(crate) use table::Fingerprint;
use table::Table;

/// The claims of a deployment.
#[derive(Debug)]
pub(crate) struct Claims {
    deployment: DeploymentId,
    window_ms: u64,
    /// How many there may be.
    room: usize,
    is_read: OnceCell<()>,
    /// Held for a look-up, for a claim that is durable, or to let go of a bounded number.
    known: Mutex<Known>,
    /// Told when claims of records under way were settled.
    settled: watch::Sender<()>,
}

#[derive(Debug)]
struct Known {
    durable: Table,
    held: HashTable<(Fingerprint, Holder)>,
}

impl Known {
    fn holder(&self, key: Fingerprint) -> Option<Holder> {
        self.held.find(key.hash(), |it| it.0 == key).map(|it| it.1)
    }

    fn hold(&mut self, key: Fingerprint, by: Holder) {
        self.held.insert_unique(key.hash(), (key, by), |it| it.0.hash());
    }

    fn release(&mut self, key: Fingerprint) {
        if let Ok(held) = self.held.find_entry(key.hash(), |it| it.0 == key) {
            held.remove();
        }
    }

    fn len(&self) -> usize {
        self.durable.len() + self.held.len()
    }
}

/// A record under way that has claimed a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Where its lane reads.
    pub(crate) source: PartitionId,
    pub(crate) offset: Offset,
}

/// Whose a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nobody's; now it is held for who asked.
    First,
    /// It is held for who asks already.
    Own,
    /// That of an earlier record of the lane, of the same run or of one whose commit is on its way.
    Earlier(Offset),
    /// That of a record that is settled; its claim lies here in `_claims`.
    Seen(Offset),
    /// That of another lane's record under way.
    Held,
    /// Nobody's, and there are as many as may be.
    Full,
}

impl Claims {
    /// Those of a deployment that remembers them for so long; none before they are
    /// [read back](Self::read_back).
    pub(crate) fn of(deployment: DeploymentId, window_ms: u64) -> Self {
        Self::with_room(deployment, window_ms, CLAIMS_MAX)
    }

    /// With room for so many.
    pub(crate) fn with_room(deployment: DeploymentId, window_ms: u64, room: usize) -> Self {
        let durable = Table::new(window_ms, Timestamp::ZERO, Offset::ZERO);
        let known = Mutex::new(Known { durable, held: HashTable::new() });
        let (is_read, settled) = (OnceCell::new(), watch::Sender::new(()));
        Self { deployment, window_ms, room, is_read, known, settled }
    }

    pub(crate) fn window_ms(&self) -> u64 {
        self.window_ms
    }

    /// Reads back what is durable and within the window, once. No lane of the deployment works before.
    ///
    /// # Errors
    /// [`Error::StandsStill`] when some of it may be lost; [`Error::Log`].
    pub(crate) async fn read_back(&self, parts: &Parts) -> Result<(), Error> {
        let Some(partition) = PartitionId::claims_of(self.deployment) else { return Ok(()) };
        let read = || async {
            let (log, window_ms, now) = (parts.log.clone(), self.window_ms, parts.entry_time());
            let read = move || read::durable(&log, partition, window_ms, now);
            let durable = tokio::task::spawn_blocking(read).await;
            self.known().durable = durable.map_err(|_| Error::ShuttingDown)??;
            Ok(())
        };
        self.is_read.get_or_try_init(read).await.copied()
    }

    /// Looks up keys that are going to be asked for. With millions of claims each look-up waits for the
    /// machine's memory: those of a run that come one right after the other wait together, and who
    /// asks then finds its place in the caches.
    pub(crate) fn look_ahead<'k>(&self, keys: impl Iterator<Item = &'k [u8]>, now: Timestamp) {
        let keys: Vec<Fingerprint> = keys.map(Fingerprint::of).collect();
        for few in keys.chunks(LOOK_AHEAD_MAX) {
            let known = self.known();
            for key in few {
                black_box(known.durable.get(*key, now));
            }
        }
    }

    /// Asks for a key, and holds it where it is nobody's.
    pub(crate) fn ask(&self, key: Fingerprint, by: Holder, now: Timestamp) -> Answer {
        let mut known = self.known();
        match known.holder(key) {
            Some(holder) if holder == by => return Answer::Own,
            Some(holder) if holder.source == by.source => return Answer::Earlier(holder.offset),
            Some(_) => return Answer::Held,
            None => {}
        }
        if let Some(place) = known.durable.get(key, now) {
            return Answer::Seen(place);
        }
        if known.len() >= self.room {
            known.durable.expire(now, EXPIRE_MAX);
            if known.len() >= self.room {
                return Answer::Full;
            }
        }
        known.hold(key, by);
        Answer::First
    }

    /// Waits until nobody else holds a key that was [held](Answer::Held).
    pub(crate) async fn until_free(&self, key: Fingerprint, source: PartitionId) {
        let is_free =
            |_: &()| self.known().holder(key).is_none_or(|holder| holder.source == source);
        let mut settled = self.settled.subscribe();
        // An error: it is its own sender that would be gone.
        let _ = settled.wait_for(is_free).await;
    }

    /// Lets go of what has left the window, of a part of it at a time; tells whether there may be more.
    pub(crate) fn expire(&self, now: Timestamp) -> bool {
        self.known().durable.expire(now, EXPIRE_MAX)
    }

    fn release(&self, keys: &[Held]) {
        let mut known = self.known();
        keys.iter().for_each(|held| known.release(held.fingerprint));
        drop(known);
        self.settled.send_replace(());
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys that are looked up before others may ask.
const LOOK_AHEAD_MAX: usize = 32;
/// What a key counts for besides itself, in bytes.
const HELD_OVERHEAD_BYTES: usize = 64;

/// A key that is held for a record under way.
#[derive(Debug)]
struct Held {
    key: Bytes,
    fingerprint: Fingerprint,
    offset: Offset,
}

/// Keys that are held for records of one lane: those of a run, and behind them those of the call under
/// way. They are given back when they are dropped.
#[derive(Debug)]
pub(crate) struct HeldKeys {
    claims: Arc<Claims>,
    source: PartitionId,
    keys: Vec<Held>,
    /// How many of them are the run's.
    kept: usize,
    /// What those of the call count for.
    call_bytes: usize,
}

impl HeldKeys {
    pub(crate) fn none(claims: Arc<Claims>, source: PartitionId) -> Self {
        Self { claims, source, keys: Vec::new(), kept: 0, call_bytes: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What those of the call count for, in bytes.
    pub(crate) fn call_bytes(&self) -> usize {
        self.call_bytes
    }

    /// Asks for a key for the record at this offset.
    pub(crate) fn ask(
        &mut self,
        key: Bytes,
        offset: Offset,
        now: Timestamp,
    ) -> (Fingerprint, Answer) {
        let fingerprint = Fingerprint::of(&key);
        let by = Holder { source: self.source, offset };
        let answer = self.claims.ask(fingerprint, by, now);
        if answer == Answer::First {
            self.call_bytes += HELD_OVERHEAD_BYTES + key.len();
            self.keys.push(Held { key, fingerprint, offset });
        }
        (fingerprint, answer)
    }

    /// Adds those of the call to those of the run; tells what they count for, in bytes.
    pub(crate) fn keep(&mut self) -> usize {
        self.kept = self.keys.len();
        std::mem::take(&mut self.call_bytes)
    }

    /// Gives back those of the call.
    pub(crate) fn release_call(&mut self) {
        if self.keys.len() > self.kept {
            self.claims.release(&self.keys[self.kept..]);
            self.keys.truncate(self.kept);
        }
        self.call_bytes = 0;
    }

    /// The records of `_claims` that make them durable.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let source = self.source;
        self.keys
            .iter()
            .map(move |held| ClaimRecord { source, offset: held.offset }.encode(held.key.clone()))
    }

    /// Takes in that their records are durable since this time, from here on in `_claims`.
    pub(crate) fn are_durable(mut self, base: Offset, time: Timestamp) {
        let keys = std::mem::take(&mut self.keys);
        for (offset, held) in (base.0..).map(Offset).zip(&keys) {
            // One at a time: the lane's next run asks meanwhile.
            let mut known = self.claims.known();
            known.durable.insert(offset, time, held.fingerprint);
            known.release(held.fingerprint);
        }
        self.claims.known().durable.expire(time, EXPIRE_MAX);
        self.claims.settled.send_replace(());
    }
}

impl Drop for HeldKeys {
    fn drop(&mut self) {
        if !self.keys.is_empty() {
            self.claims.release(&self.keys);
        }
    }
}

#[cfg(test)]
mod tests;
