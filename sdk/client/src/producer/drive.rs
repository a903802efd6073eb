//! The task that drives a produce stream: frames out, answers in.

use std::sync::Arc;
use std::time::Duration;

use logmill_wire::Frame;
use tokio::time::timeout;

use super::Shared;
use crate::Error;
use crate::stream::{FrameReader, FrameWriter, unexpected};

/// How long the broker's reason may take to arrive after it has stopped reading.
const REASON_WAIT: Duration = Duration::from_secs(2);

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
        let (frame, exhausted) = {
            let mut queue = shared.queue();
            (queue.next_frame(), queue.is_exhausted())
        };
        match frame {
            Some(frame) => writer.send(&Frame::Produce(frame)).await?,
            None if exhausted => {
                writer.finish();
                return Ok(());
            }
            None => shared.work.notified().await,
        }
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
