//! How many records in a row a deployment gave up because its module broke: a module that traps,
//! hangs or runs out of memory on everything would else empty its topic into the dead letters.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use logmill_model::FailureReason;
use tokio::sync::mpsc;

use super::settle::Settled;
use crate::limits::BROKEN_RECORDS_MAX;

/// What a run, or all that was committed, comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// Records given up since the last one that ended well.
    broken: u32,
    /// Whether one has ended well.
    has_ended: bool,
}

impl Row {
    /// Takes in what has become of the next record. What a module decides ends a row; what it fails at
    /// in order neither ends nor lengthens it.
    pub(crate) fn count(&mut self, settled: &Settled) {
        match settled {
            Settled::Done(_) | Settled::Dropped => *self = Self { broken: 0, has_ended: true },
            Settled::Duplicate | Settled::Parked(_) => {}
            Settled::Buried(burial) => match burial.reason {
                FailureReason::Trap | FailureReason::Deadline | FailureReason::Memory => {
                    self.broken += 1;
                }
                FailureReason::Rejected => *self = Self { broken: 0, has_ended: true },
                _ => {}
            },
        }
    }

    /// How long the row is, with what came before.
    pub(crate) fn after(self, before: u32) -> u32 {
        if self.has_ended { self.broken } else { before.saturating_add(self.broken) }
    }
}

/// The row of a deployment, over all its lanes, and whom to tell. It begins anew with the lanes: a
/// restart or a `resume` gives a module another chance.
pub(crate) struct Rows {
    deployment: String,
    version: u32,
    broken: AtomicU32,
    is_told: AtomicBool,
    alarms: mpsc::Sender<Alarm>,
}

/// A version of a deployment that is to be paused.
#[derive(Debug)]
pub(crate) struct Alarm {
    pub(crate) deployment: String,
    pub(crate) version: u32,
    /// For a person.
    pub(crate) reason: String,
}

impl Rows {
    pub(crate) fn new(deployment: String, version: u32, alarms: mpsc::Sender<Alarm>) -> Self {
        let (broken, is_told) = Default::default();
        Self { deployment, version, broken, is_told, alarms }
    }

    /// How long the row is.
    pub(crate) fn length(&self) -> u32 {
        self.broken.load(Ordering::Relaxed)
    }

    /// Adds what was committed. Lanes that do so at once may miss each other's end of a row, which the
    /// next one makes up for.
    pub(crate) fn add(&self, row: Row) {
        // It gives a value each time, so that there is no error.
        let _ = self
            .broken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| Some(row.after(before)));
    }

    /// Whether the deployment is to be paused; true until its lanes are stopped for it.
    pub(crate) fn is_full(&self) -> bool {
        self.length() >= BROKEN_RECORDS_MAX
    }

    /// Asks for the deployment to be paused, once for all lanes.
    pub(crate) async fn alarm(&self, dlq: &str) {
        if self.is_told.swap(true, Ordering::Relaxed) {
            return;
        }
        let (deployment, version) = (self.deployment.clone(), self.version);
        let reason = format!(
            "the module broke (trap, deadline or memory) on {} records in a row, which are in {dlq}; \
             `logmill dlq show {deployment}` says how. Deploy a module that is mended, or \
             `logmill module resume {deployment}`",
            self.length()
        );
        // An error is an engine that stops.
        let _ = self.alarms.send(Alarm { deployment, version, reason }).await;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use logmill_model::Timestamp;
    use logmill_model::internal::FailedAttempts;

    use super::super::settle::Burial;
    use super::*;

    pub(in super::super) fn buried(reason: FailureReason) -> Settled {
        Settled::Buried(Burial {
            reason,
            detail: String::new(),
            attempts: 1,
            first_failed_ts: Timestamp::ZERO,
            last_failed_ts: Timestamp::ZERO,
        })
    }

    fn parked() -> Settled {
        let at = Timestamp::ZERO;
        let (first_failed_ts, last_failed_ts, retry_at) = (at, at, at);
        Settled::Parked(FailedAttempts { attempts: 1, first_failed_ts, last_failed_ts, retry_at })
    }

    #[test]
    fn only_what_a_module_decides_ends_a_row_and_only_what_breaks_it_lengthens_it() {
        use FailureReason::{Deadline, Error, Memory, Rejected, Retry, Trap};
        for (case, before, settled, after) in [
            ("nothing", 3, vec![], 3),
            ("each way of breaking", 3, [Trap, Deadline, Memory].map(buried).to_vec(), 6),
            ("an attempt that failed", 3, vec![parked(), buried(Trap)], 4),
            ("failures in order", 3, [Error, Retry, Trap].map(buried).to_vec(), 4),
            ("a record that is done", 3, vec![buried(Trap), Settled::Done(vec![])], 0),
            ("a record that is dropped", 3, vec![Settled::Dropped, buried(Trap)], 1),
            ("a record that is rejected", 3, [Trap, Rejected, Trap].map(buried).to_vec(), 1),
        ] {
            let mut row = Row::default();
            settled.iter().for_each(|it| row.count(it));
            assert_eq!(row.after(before), after, "{case}");
        }
    }
}
