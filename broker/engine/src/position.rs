//! What a position stands for in a partition, now.

use logmill_model::{Offset, PartitionId, Position, Timestamp};

use crate::Error;
use crate::parts::Parts;

impl Parts {
    /// The offset that a position stands for now. May wait for the disk.
    pub(crate) async fn position(
        &self,
        partition: PartitionId,
        at: Position,
    ) -> Result<Offset, Error> {
        match at {
            Position::Time(time) => self.offset_at(partition, time).await,
            Position::Ago(ms) => self.offset_at(partition, self.clock.now().minus_ms(ms)).await,
            at => self.untimed_position(partition, at).map(Option::unwrap_or_default),
        }
    }

    /// The offset that a position stands for now; None for one that names a time, which only the
    /// log can tell.
    pub(crate) fn untimed_position(
        &self,
        partition: PartitionId,
        at: Position,
    ) -> Result<Option<Offset>, Error> {
        let (start, end) = (self.log.start_offset(partition), self.log.end_offset(partition));
        match at {
            Position::Earliest => Ok(Some(start)),
            Position::Latest => Ok(Some(end)),
            Position::Offset(asked) if (start..=end).contains(&asked) => Ok(Some(asked)),
            Position::Offset(asked) => Err(Error::OffsetOutOfRange { asked, start, end }),
            Position::Time(_) | Position::Ago(_) => Ok(None),
        }
    }

    /// The first offset that was appended at this time or later; the end when there is none yet.
    async fn offset_at(&self, partition: PartitionId, time: Timestamp) -> Result<Offset, Error> {
        let log = self.log.clone();
        tokio::task::spawn_blocking(move || log.offset_at(partition, time))
            .await
            .map_err(|_| Error::ShuttingDown)?
            .map_err(|error| self.views.catalog().unread(error))
    }
}
