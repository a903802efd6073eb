//! The task that drives a producer: frames out and answers in on one stream, and on the next one
//! when that is lost.

use std::sync::Arc;
use std::time::Duration;

use logmill_model::ProducerName;
use logmill_wire::{Accepts, ErrorCode, Frame, ProduceOpen, ProduceOpened, StreamKind};
use quinn::Connection;
use tokio::time::{Instant, timeout};

use super::Shared;
use super::queue::{Outgoing, Trouble};
use crate::stream::{self, FrameReader, FrameWriter, unexpected};
use crate::{Client, Error};

/// How long the broker's reason may take to arrive after it has stopped reading.
const REASON_WAIT: Duration = Duration::from_secs(2);
/// From one try to go on to the next.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(20);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(1);

/// Batches of no more bytes are compressed where they are: it takes microseconds.
const COMPRESS_INLINE_BYTES_MAX: usize = 16 * 1024;

/// What a producer sends on.
pub(super) struct Line {
    pub(super) client: Client,
    pub(super) open: ProduceOpen,
    pub(super) name: Option<ProducerName>,
    /// How long it tries to go on; None when it never does.
    pub(super) retry_for: Option<Duration>,
}

/// A stream on a connection.
pub(super) struct Stream {
    connection: Connection,
    writer: FrameWriter,
    reader: FrameReader,
}

impl Line {
    /// Whether the producer is not known to the broker yet, and will be.
    pub(super) fn is_unknown(&self) -> bool {
        self.retry_for.is_some() && self.open.producer.is_none()
    }

    /// Registers the producer.
    pub(super) async fn register(&mut self) -> Result<(), Error> {
        let identity = self.client.admin().register_producer(self.name.clone()).await?;
        self.open.producer = Some(identity);
        Ok(())
    }

    pub(super) async fn open(&self, connection: Connection) -> Result<(Stream, u32), Error> {
        let (writer, mut reader) =
            stream::open(&connection, StreamKind::Produce, &self.open).await?;
        let opened: ProduceOpened = reader.reply(Accepts::ACKS).await?;
        Ok((Stream { connection, writer, reader }, opened.partitions))
    }
}

/// Runs until all producers are dropped and all is answered, or the producer is of no further use.
pub(super) async fn drive(shared: Arc<Shared>, mut line: Line, mut stream: Stream) {
    let end = loop {
        let (answers, connection) = (shared.answers(), stream.connection.clone());
        let trouble = match introduce(&shared, &mut line, stream).await {
            Ok(stream) => exchange(&shared, stream).await,
            Err(error) => Trouble::Stream(error),
        };
        if shared.queue().is_settled() {
            break ended();
        }
        let made_progress = shared.answers() > answers;
        match go_on(&shared, &mut line, trouble, &connection, made_progress).await {
            Ok(next) => stream = next,
            Err(error) => break error,
        }
    };
    shared.queue().fail(&end);
    shared.room.close();
}

/// Registers the producer when it has its first batch: one that sends nothing leaves no trace. A
/// broker that does not register it refuses what it has.
async fn introduce(shared: &Shared, line: &mut Line, mut stream: Stream) -> Result<Stream, Error> {
    while line.is_unknown() {
        loop {
            {
                let queue = shared.queue();
                if queue.is_settled() {
                    return Ok(stream);
                }
                if queue.has_any() {
                    break;
                }
            }
            tokio::select! {
                () = shared.work.notified() => {}
                frame = stream.reader.next() => return Err(end_of(frame)),
            }
        }
        match line.register().await {
            Ok(()) => {
                stream.writer.finish();
                stream = line.open(stream.connection).await?.0;
            }
            Err(error @ Error::Refused { .. }) => {
                let permits = shared.queue().refuse(&error);
                shared.release(permits);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(stream)
}

/// What a frame that is no answer says of its stream.
fn end_of(frame: Result<Option<Frame>, Error>) -> Error {
    match frame {
        Ok(Some(Frame::Fault(fault))) => fault.into(),
        Ok(Some(other)) => unexpected(&other),
        Ok(None) => ended(),
        Err(error) => error,
    }
}

/// Finds another stream after this trouble.
async fn go_on(
    shared: &Shared,
    line: &mut Line,
    trouble: Trouble,
    lost: &Connection,
    made_progress: bool,
) -> Result<Stream, Error> {
    let (Trouble::Stream(mut error) | Trouble::Identity(mut error)) = trouble.clone();
    let Some(retry_for) = line.retry_for else { return Err(error) };
    let mut must_register = matches!(trouble, Trouble::Identity(_));
    if !must_register && !may_pass(&error) {
        return Err(error);
    }
    let is_final_fault = matches!(error, Error::Refused { no_side_effects: true, .. });
    shared.queue().suspend(must_register || !is_final_fault);
    if must_register {
        let permits = shared.queue().renew(&error);
        shared.release(permits);
    }
    tracing::debug!(%error, topic = %line.open.topic, "the stream is lost; connecting again");
    let deadline = shared.deadline(retry_for, made_progress);
    let mut wait = RETRY_WAIT_MIN;
    loop {
        if Instant::now() + wait > deadline {
            return Err(error);
        }
        line.client.closed_or(wait).await?;
        wait = (wait * 2).min(RETRY_WAIT_MAX);
        match again(line, lost, &mut must_register).await {
            Ok(stream) => return Ok(stream),
            Err(failed) if may_pass(&failed) => error = failed,
            Err(failed) => return Err(failed),
        }
    }
}

async fn again(
    line: &mut Line,
    lost: &Connection,
    must_register: &mut bool,
) -> Result<Stream, Error> {
    let connection = line.client.reconnect(lost).await?;
    if *must_register {
        line.register().await?;
        *must_register = false;
    }
    Ok(line.open(connection).await?.0)
}

/// Whether what is sent again may meet with something better.
fn may_pass(error: &Error) -> bool {
    error.is_retryable()
        || matches!(error.code(), Some(ErrorCode::Unknown | ErrorCode::Internal))
        || matches!(error, Error::OutcomeUnknown { .. })
}

async fn exchange(shared: &Shared, stream: Stream) -> Trouble {
    let Stream { mut writer, mut reader, .. } = stream;
    let mut receive = std::pin::pin!(receive(shared, &mut reader));
    let sent = tokio::select! {
        end = &mut receive => return end,
        sent = send(shared, &mut writer) => sent,
    };
    match sent {
        // The stream ends with the broker's last answer.
        Ok(()) => receive.await,
        Err(error) => timeout(REASON_WAIT, receive).await.unwrap_or(Trouble::Stream(error)),
    }
}

/// Sends what there is to send, until all that ever will be has its answer.
async fn send(shared: &Shared, writer: &mut FrameWriter) -> Result<(), Error> {
    loop {
        let (batch, finished) = {
            let mut queue = shared.queue();
            (queue.next_batch(), queue.is_settled())
        };
        match batch {
            Some(batch) => writer.send(&framed(batch).await).await?,
            None if finished => {
                writer.finish();
                return Ok(());
            }
            None => shared.work.notified().await,
        }
    }
}

/// The frame of a batch, which is compressed now if it is to be.
async fn framed(batch: Outgoing) -> Frame {
    if !batch.compresses(COMPRESS_INLINE_BYTES_MAX) {
        return batch.into_frame();
    }
    let compressing = batch.clone();
    match tokio::task::spawn_blocking(move || compressing.into_frame()).await {
        Ok(frame) => frame,
        // The runtime is shutting down: it goes as it is, if it still goes.
        Err(_) => batch.plain().into_frame(),
    }
}

async fn receive(shared: &Shared, reader: &mut FrameReader) -> Trouble {
    loop {
        let answered = match reader.next().await {
            Ok(Some(Frame::Ack(ack))) => {
                shared.count_answer();
                shared.queue().answer(ack.request, Ok(ack))
            }
            Ok(Some(Frame::Fault(fault))) if fault.request != 0 => {
                shared.queue().answer(fault.request, Err(fault.into()))
            }
            other => return end_of(other).into(),
        };
        match answered {
            Ok(permits) => shared.release(permits),
            Err(trouble) => return trouble,
        }
        shared.work.notify_one();
    }
}

fn ended() -> Error {
    Error::Disconnected { code: None, reason: "the broker has ended the stream".to_owned() }
}
