//! What becomes of a record that was sent.

use std::sync::Arc;

use logmill_model::{Csn, Epoch, Offset, RecordBatch, ShardId, Timestamp};
use tokio::sync::SetOnce;

use crate::Error;

/// The answer to a batch, once there is one.
pub(super) type Answer = Arc<SetOnce<Result<logmill_wire::Ack, Error>>>;

/// A promise of an [`Ack`]. Dropping it changes nothing for the record.
#[derive(Debug, Clone)]
#[must_use = "only the ticket tells whether the record became durable"]
pub struct Ticket {
    pub(super) answer: Answer,
    pub(super) delta: u32,
}

impl Ticket {
    /// Waits until the record is durable, or refused, or its outcome can't be known.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Disconnected`] (it was not sent), [`Error::OutcomeUnknown`].
    pub async fn wait(&self) -> Result<Ack, Error> {
        match self.answer.wait().await {
            Ok(ack) => Ok(self.ack(ack)),
            Err(error) => Err(error.clone()),
        }
    }

    fn ack(&self, ack: &logmill_wire::Ack) -> Ack {
        let found = ack.duplicates.binary_search_by_key(&self.delta, |it| it.index);
        let (partition, offset) = match found {
            Ok(at) => (ack.duplicates[at].partition, ack.duplicates[at].offset),
            // The others lie densely.
            Err(left_out) => {
                let left_out = u32::try_from(left_out).unwrap_or(u32::MAX);
                let place = self.delta.saturating_sub(left_out);
                (ack.partition, RecordBatch::offset_at(ack.base_offset, place))
            }
        };
        Ack {
            partition,
            offset,
            duplicate: found.is_ok(),
            append_ts: ack.append_ts,
            csn: ack.csn,
            shard: ack.shard,
            epoch: ack.epoch,
        }
    }
}

/// A record is durable, and can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// Where it is.
    pub partition: u32,
    /// Its place there.
    pub offset: Offset,
    /// Whether it was not stored, since its topic had a record with its idempotency key, and this is
    /// where that one lies.
    pub duplicate: bool,
    /// When the broker sequenced it.
    pub append_ts: Timestamp,
    /// The commit that it is part of.
    pub csn: Csn,
    /// Whose log it is in.
    pub shard: ShardId,
    /// The broker's start.
    pub epoch: Epoch,
}
