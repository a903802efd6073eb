//! The task that drives a produce stream: frames out, answers in.

use std::sync::Arc;
use std::time::Duration;

use logmill_model::Compression;
use logmill_wire::{Frame, Produce};
use tokio::time::timeout;

use super::Shared;
use super::queue::Outgoing;
use crate::Error;
use crate::stream::{FrameReader, FrameWriter, unexpected};

/// How long the broker's reason may take to arrive after it has stopped reading.
const REASON_WAIT: Duration = Duration::from_secs(2);

/// Batches of no more bytes are compressed where they are: it takes microseconds.
const COMPRESS_INLINE_BYTES_MAX: usize = 16 * 1024;

/// Runs until all producers are dropped and all is answered, or the stream fails.
pub(super) async fn drive(shared: Arc<Shared>, writer: FrameWriter, reader: FrameReader) {
    let end = exchange(&shared, writer, reader).await;
    shared.queue().fail(&end);
    shared.room.close();
}

async fn exchange(shared: &Shared, mut writer: FrameWriter, mut reader: FrameReader) -> Error {
    let mut receive = std::pin::pin!(receive(shared, &mut reader));
    let sent = tokio::select! {
        end = &mut receive => return end,
        sent = send(shared, &mut writer) => sent,
    };
    match sent {
        // The stream ends with the broker's last answer.
        Ok(()) => receive.await,
        Err(error) => timeout(REASON_WAIT, receive).await.unwrap_or(error),
    }
}

async fn send(shared: &Shared, writer: &mut FrameWriter) -> Result<(), Error> {
    loop {
        let (batch, exhausted) = {
            let mut queue = shared.queue();
            (queue.next_batch(), queue.is_exhausted())
        };
        match batch {
            Some(batch) => writer.send(&Frame::Produce(framed(batch).await)).await?,
            None if exhausted => {
                writer.finish();
                return Ok(());
            }
            None => shared.work.notified().await,
        }
    }
}

/// The frame of a batch, which is compressed now if it is to be.
async fn framed(batch: Outgoing) -> Produce {
    let is_small = batch.batch.records_bytes() <= COMPRESS_INLINE_BYTES_MAX;
    if is_small || batch.compression == Compression::None {
        return batch.into_frame();
    }
    let compressing = batch.clone();
    match tokio::task::spawn_blocking(move || compressing.into_frame()).await {
        Ok(frame) => frame,
        // The runtime is shutting down: it goes as it is, if it still goes.
        Err(_) => Outgoing { compression: Compression::None, ..batch }.into_frame(),
    }
}

async fn receive(shared: &Shared, reader: &mut FrameReader) -> Error {
    loop {
        let answered = match reader.next().await {
            Ok(Some(Frame::Ack(ack))) => shared.queue().answer(ack.request, Ok(ack)),
            Ok(Some(Frame::Fault(fault))) if fault.request != 0 => {
                shared.queue().answer(fault.request, Err(fault.into()))
            }
            Ok(Some(Frame::Fault(fault))) => return fault.into(),
            Ok(Some(other)) => return unexpected(&other),
            Ok(None) => return ended(),
            Err(error) => return error,
        };
        match answered {
            Ok(permits) => shared.release(permits),
            Err(error) => return error,
        }
        shared.work.notify_one();
    }
}

fn ended() -> Error {
    Error::Disconnected { code: None, reason: "the broker has ended the stream".to_owned() }
}
