//! The claims of a deployment with those of a run.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use logmill_model::{Offset, PartitionId, Source, Timestamp, TopicName};
use logmill_wasm::{Claim, MemoryFull};

use crate::claims::{Answer, Claims, Fingerprint, HeldKeys, Places};
use crate::limits::{CLAIMS_CALL_BYTES_MAX, CLAIMS_MAX};

const CALL_FULL: MemoryFull =
    MemoryFull { what: "keys claimed in one call", bytes_max: CLAIMS_CALL_BYTES_MAX as u64 };

/// What a record with a key of its own is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The first with it.
    First,
    /// One of a key that was claimed.
    Duplicate,
    /// Nobody can tell now.
    Waits(ClaimWait),
}

/// What a record waits for that can't be handled now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClaimWait {
    /// That another lane's record is settled, which holds this key.
    Key(Fingerprint),
    /// That claims leave the window.
    Room,
    /// That the record which has claimed its key can be read.
    Place(String),
}

impl fmt::Display for ClaimWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(_) => f.write_str("another record under way has claimed its key"),
            Self::Room => write!(
                f,
                "the deployment has claimed {CLAIMS_MAX} keys within its idempotency-window, and remembers no more; it goes on when some have left it, or with a shorter one"
            ),
            Self::Place(why) => write!(f, "the record that has claimed a key can't be told: {why}"),
        }
    }
}

pub(super) struct ClaimBuffer {
    claims: Arc<Claims>,
    places: Places,
    topic: TopicName,
    source: PartitionId,
    /// Those of the records of the run that are settled, and those of the call.
    held: HeldKeys,
    /// Where the record lies, and when it is handled.
    offset: Offset,
    now: Timestamp,
    wait: Option<ClaimWait>,
}

impl ClaimBuffer {
    pub(super) fn new(
        claims: Arc<Claims>,
        places: Places,
        (topic, source): (TopicName, PartitionId),
    ) -> Self {
        let held = HeldKeys::none(Arc::clone(&claims), source);
        let (offset, now) = (Offset::ZERO, Timestamp::ZERO);
        Self { places, topic, source, held, offset, now, wait: None, claims }
    }

    pub(super) fn of_deployment(&self) -> &Arc<Claims> {
        &self.claims
    }

    pub(super) fn begin(&mut self, offset: Offset, now: Timestamp) {
        self.release();
        (self.offset, self.now, self.wait) = (offset, now, None);
    }

    /// Gives back what the call holds.
    pub(super) fn release(&mut self) {
        self.held.release_call();
    }

    pub(super) fn claim_declared(&mut self, key: Bytes) -> Standing {
        match self.ask(key) {
            Answer::First | Answer::Own => Standing::First,
            Answer::Earlier(_) | Answer::Seen(_) => Standing::Duplicate,
            Answer::Held | Answer::Full => Standing::Waits(self.take_wait()),
        }
    }

    pub(super) fn claim(&mut self, key: &str) -> Result<Claim, MemoryFull> {
        Ok(match self.ask(Bytes::copy_from_slice(key.as_bytes())) {
            Answer::First if self.held.call_bytes() > CLAIMS_CALL_BYTES_MAX => {
                return Err(CALL_FULL);
            }
            Answer::First | Answer::Own => Claim::First,
            Answer::Earlier(offset) => {
                let (topic, partition) = (self.topic.to_string(), self.source.index);
                Claim::Seen(Source { topic, partition, offset })
            }
            Answer::Seen(place) => match self.places.record_of(place) {
                Ok(record) => Claim::Seen(record),
                Err(error) => {
                    self.wait = Some(ClaimWait::Place(error.to_string()));
                    Claim::Busy
                }
            },
            Answer::Held | Answer::Full => Claim::Busy,
        })
    }

    fn ask(&mut self, key: Bytes) -> Answer {
        let (fingerprint, answer) = self.held.ask(key, self.offset, self.now);
        match answer {
            Answer::Held => self.wait = Some(ClaimWait::Key(fingerprint)),
            Answer::Full => self.wait = Some(ClaimWait::Room),
            _ => {}
        }
        answer
    }

    /// Why a claim could not be answered.
    pub(super) fn take_wait(&mut self) -> ClaimWait {
        self.wait.take().unwrap_or_else(|| ClaimWait::Place("it was not asked".to_owned()))
    }

    /// Adds what the call holds to what the run does; tells how many bytes that is.
    pub(super) fn keep(&mut self) -> usize {
        self.held.keep()
    }

    /// What the run holds, unless that is nothing.
    pub(super) fn take(&mut self) -> Option<HeldKeys> {
        self.held.release_call();
        let none = HeldKeys::none(Arc::clone(&self.claims), self.source);
        let held = std::mem::replace(&mut self.held, none);
        (!held.is_empty()).then_some(held)
    }
}
