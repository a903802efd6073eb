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
            Ok(ack) => Ok(Ack {
                partition: ack.partition,
                offset: RecordBatch::offset_at(ack.base_offset, self.delta),
                append_ts: ack.append_ts,
                csn: ack.csn,
                shard: ack.shard,
                epoch: ack.epoch,
            }),
            Err(error) => Err(error.clone()),
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
    /// When the broker sequenced it.
    pub append_ts: Timestamp,
    /// The commit that it is part of.
    pub csn: Csn,
    /// Whose log it is in.
    pub shard: ShardId,
    /// The broker's start.
    pub epoch: Epoch,
}
