//! The work that was asked for, checked.

use logmill_model::Compression;
use logmill_model::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, RECORD_BYTES_MAX};

use super::payload::Payload;
use crate::Failure;

/// Bytes that all connections together may have without an answer: they are held in memory.
const UNANSWERED_BYTES_MAX: usize = 1 << 30;

/// What to produce, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) records: u64,
    /// Bytes of a record's value.
    pub(super) size: usize,
    /// Records of a batch.
    pub(super) batch: u32,
    pub(super) connections: u32,
    /// Batches of one connection without an answer.
    pub(super) in_flight: u32,
    pub(super) compression: Compression,
    /// Records a second of all connections together; as fast as it goes without it.
    pub(super) rate: Option<u64>,
}

impl Plan {
    /// Refuses what no broker would take, before anything is started.
    pub(super) fn check(self) -> Result<Self, Failure> {
        let record = Payload::record_bytes(self.size);
        if record > RECORD_BYTES_MAX {
            let most = RECORD_BYTES_MAX - Payload::record_bytes(0);
            return Err(Failure::usage(format!(
                "--size {} is too large; at most {most} bytes fit a record",
                self.size
            )));
        }
        let (batch, most) = (self.batch as usize, Payload::records_max(self.size));
        if batch > most {
            return Err(Failure::usage(format!(
                "--batch {batch} is too large; at most {most} records of {} bytes fit a batch",
                self.size
            )));
        }
        let unanswered = u64::from(self.connections)
            * u64::from(self.in_flight)
            * Payload::batch_bytes(self.size, batch) as u64;
        if unanswered > UNANSWERED_BYTES_MAX as u64 {
            return Err(Failure::usage(format!(
                "{unanswered} bytes would be without an answer at once, at most {UNANSWERED_BYTES_MAX} may; lower --batch, --connections or --in-flight"
            )));
        }
        Ok(self)
    }

    /// How many batches that is.
    pub(super) fn batches(&self) -> u64 {
        self.records.div_ceil(u64::from(self.batch))
    }

    /// How many records a batch has: all have as many, but for the last.
    pub(super) fn records_of(&self, batch: u64) -> u32 {
        let before = batch * u64::from(self.batch);
        let left = self.records.saturating_sub(before).min(u64::from(self.batch));
        u32::try_from(left).unwrap_or(self.batch)
    }

    /// The batches that a connection sends: they take turns.
    pub(super) fn batches_of(&self, connection: u32) -> impl Iterator<Item = u64> + use<> {
        (u64::from(connection)..self.batches()).step_by(self.connections as usize)
    }

    /// Bytes of the records' values.
    pub(super) fn bytes(&self) -> u64 {
        self.records * self.size as u64
    }
}

const _: () = assert!(UNANSWERED_BYTES_MAX > BATCH_BYTES_MAX);
const _: () = assert!(BATCH_RECORDS_MAX <= u32::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        records: 1000,
        size: 100,
        batch: 64,
        connections: 3,
        in_flight: 4,
        compression: Compression::None,
        rate: None,
    };

    #[test]
    fn every_record_is_sent_once_by_one_connection() {
        let mut batches: Vec<u64> = (0..3).flat_map(|it| PLAN.batches_of(it)).collect();
        batches.sort_unstable();
        assert_eq!(batches, (0..16).collect::<Vec<_>>());
        let records: u64 = batches.iter().map(|it| u64::from(PLAN.records_of(*it))).sum();
        assert_eq!(records, 1000);
        assert_eq!((PLAN.records_of(14), PLAN.records_of(15), PLAN.records_of(16)), (64, 40, 0));
        let few = Plan { records: 1, connections: 3, ..PLAN };
        assert_eq!((few.batches_of(0).count(), few.batches_of(2).count()), (1, 0));
    }

    #[test]
    fn what_no_broker_takes_is_refused_with_what_fits() {
        let fits = Plan { size: RECORD_BYTES_MAX - Payload::record_bytes(0), batch: 1, ..PLAN };
        assert_eq!(fits.check().unwrap(), fits);
        let most = Payload::records_max(1024);
        let fits = Plan { size: 1024, batch: u32::try_from(most).unwrap(), ..PLAN };
        fits.check().unwrap();
        for (bad, says) in [
            (Plan { size: RECORD_BYTES_MAX, ..PLAN }, "--size 1048576 is too large"),
            (Plan { batch: fits.batch + 1, ..fits }, "records of 1024 bytes fit a batch"),
            (Plan { batch: 65_537, size: 1, ..PLAN }, "--batch 65537 is too large"),
            (Plan { connections: 1024, in_flight: 1024, ..fits }, "lower --batch"),
        ] {
            assert!(bad.check().unwrap_err().line().contains(says), "{bad:?}");
        }
    }
}
