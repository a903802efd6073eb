//! The border: what a client's batch must be before the engine sees it.
//!
//! A compressed batch is decompressed here once, to be checked as any other is, and goes on as it
//! was sent. What that takes is bounded for each batch by its limit, and for all clients together
//! by room that is taken before.

use std::sync::Arc;

use bytes::Bytes;
use logmill_model::limits::{BATCH_BYTES_MAX, RECORD_BYTES_MAX};
use logmill_model::{Error, RecordBatch};
use logmill_wire::{ErrorCode, Fault};
use tokio::sync::Semaphore;

use crate::{fault, limits};

/// Looks at the batches of all clients.
#[derive(Debug)]
pub(crate) struct Border {
    /// A permit for each byte that batches have decompressed. Who holds some waits for nothing.
    room: Arc<Semaphore>,
}

impl Default for Border {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(limits::DECOMPRESSED_BYTES_MAX)) }
    }
}

impl Border {
    /// Checks checksum, layout, and what a client may send.
    pub(crate) async fn check(&self, bytes: Bytes, crc: u32) -> Result<RecordBatch, Fault> {
        let batch = RecordBatch::check(bytes, crc).map_err(|error| fault::of_model(&error))?;
        let checked = match batch.plain() {
            Some(records) => records.check_produced(RECORD_BYTES_MAX),
            None => self.look_inside(&batch).await?,
        };
        checked.map(|()| batch).map_err(|error| fault::of_model(&error))
    }

    async fn look_inside(&self, batch: &RecordBatch) -> Result<Result<(), Error>, Fault> {
        let bytes = batch.records_bytes();
        let permits = u32::try_from(bytes).expect("bounded by BATCH_BYTES_MAX");
        let room = Arc::clone(&self.room).acquire_many_owned(permits).await;
        let room = room.expect("this semaphore is never closed");
        let batch = batch.clone();
        let check = move || {
            let checked = batch
                .decompressed(BATCH_BYTES_MAX)
                .and_then(|records| records.check_produced(RECORD_BYTES_MAX));
            drop(room);
            checked
        };
        if bytes <= limits::DECOMPRESS_INLINE_BYTES_MAX {
            return Ok(check());
        }
        tokio::task::spawn_blocking(check).await.map_err(|error| match error.is_cancelled() {
            true => fault::shutting_down(),
            false => Fault::new(ErrorCode::Internal, "a batch could not be decompressed"),
        })
    }
}

#[cfg(test)]
mod tests {
    use logmill_model::{Compression, Record};

    use super::*;

    fn batch(bytes: usize) -> RecordBatch {
        let record = Record { value: Some(vec![7; bytes].into()), ..Record::default() };
        let batch = RecordBatch::of([&record]).unwrap().compress(Compression::Zstd);
        assert_eq!(batch.compression(), Compression::Zstd);
        batch
    }

    #[tokio::test]
    async fn a_compressed_batch_waits_for_room_and_gives_it_back() {
        let border = Border::default();
        for (bytes, is_good) in [(1000, true), (1_000_000, true), (1_100_000, false)] {
            let batch = batch(bytes);
            let all = u32::try_from(limits::DECOMPRESSED_BYTES_MAX).unwrap();
            let taken = border.room.acquire_many(all).await.unwrap();
            let mut check = std::pin::pin!(border.check(batch.bytes().clone(), batch.crc()));
            tokio::select! {
                biased;
                _ = &mut check => panic!("there was no room"),
                () = tokio::task::yield_now() => {}
            }
            drop(taken);
            assert_eq!(check.await.is_ok(), is_good);
            assert_eq!(border.room.available_permits(), limits::DECOMPRESSED_BYTES_MAX);
        }
    }
}
