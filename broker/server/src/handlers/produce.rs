//! Produce streams: batches in, an answer to each out, many in flight.
//!
//! One task reads: it takes room, reads a batch, checks it, and hands it to the engine, which
//! gives it its turn. A second one answers, in the order of the stream, when each is durable. When
//! there is no room, nothing is read, and the client waits in its own memory.

use std::pin::Pin;
use std::time::Instant;

use logmill_model::RecordBatch;
use logmill_wire::{
    Accepts, Ack, ErrorCode, Fault, Frame, Message, Produce, ProduceOpen, ProduceOpened,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::debug;

use crate::broker::Client;
use crate::room::Reserved;
use crate::stream::{FrameReader, FrameWriter};
use crate::{fault, limits, metrics};

/// What a batch will be answered with.
type Answer = Pin<Box<dyn Future<Output = Frame> + Send>>;

pub(crate) async fn produce(
    client: &Client,
    bytes: &[u8],
    mut reader: FrameReader,
    mut writer: FrameWriter,
) {
    let (open, opened) = match open(client, bytes).await {
        Ok(opened) => opened,
        Err(fault) => {
            reader.stop(fault.code);
            return writer.refuse(fault).await;
        }
    };
    if writer.reply(&opened).await.is_err() {
        return;
    }
    debug!(topic = %open.topic, "produce stream opened");
    reader.accept(Accepts::PRODUCER);
    let (queue, answers) = mpsc::channel(limits::PRODUCE_FRAMES_MAX);
    let answering = tokio::spawn(answer(writer, answers));
    let end = receive(client, &open, &mut reader, queue).await;
    if let Some(fault) = &end {
        reader.stop(fault.code);
    }
    match (answering.await, end) {
        (Ok(Some(writer)), Some(fault)) => writer.refuse(fault).await,
        (Ok(Some(writer)), None) => writer.finish().await,
        _ => {}
    }
}

async fn open(client: &Client, bytes: &[u8]) -> Result<(ProduceOpen, ProduceOpened), Fault> {
    let open = ProduceOpen::from_bytes(bytes).map_err(|error| fault::of_wire(&error))?;
    let topic = client.engine().open_topic(&open.topic).await;
    let topic = topic.map_err(|error| fault::of_engine(&error))?;
    let partitions = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
    if let Some(partition) = open.partition.filter(|partition| *partition >= partitions) {
        let error =
            logmill_engine::Error::UnknownPartition { topic: open.topic, partition, partitions };
        return Err(fault::of_engine(&error));
    }
    Ok((open, ProduceOpened { partitions }))
}

/// Reads batches until the client ends the stream or the broker stops. What is returned is why the
/// stream can't go on, if there is anybody to tell.
async fn receive(
    client: &Client,
    open: &ProduceOpen,
    reader: &mut FrameReader,
    queue: mpsc::Sender<Answer>,
) -> Option<Fault> {
    loop {
        let next = async {
            // An error says that nobody reads the answers any more.
            let turn = queue.reserve().await.map_err(|_| None)?;
            Ok((turn, next(client, reader).await?))
        };
        let next = tokio::select! {
            biased;
            () = client.broker.stopping() => return Some(fault::shutting_down()),
            next = next => next,
        };
        match next {
            Ok((turn, Some((produce, room)))) => {
                turn.send(append(client, open, produce, room).await)
            }
            Ok((_, None)) => return None,
            Err(fault) => return fault,
        }
    }
}

/// The next batch, and the room it takes; None at the end of the stream.
async fn next(
    client: &Client,
    reader: &mut FrameReader,
) -> Result<Option<(Produce, Reserved)>, Option<Fault>> {
    if !reader.begun().await.map_err(|end| fault::of_read(&end))? {
        return Ok(None);
    }
    let mut room = client.room.reserve().await;
    let Some(frame) = reader.next().await.map_err(|end| fault::of_read(&end))? else {
        return Ok(None);
    };
    let Frame::Produce(produce) = frame else {
        let text = "only produce frames may follow the opening of a produce stream";
        return Err(Some(Fault::new(ErrorCode::BadRequest, text)));
    };
    if produce.request == 0 {
        let text = "a produce frame has request 0; number them from 1";
        return Err(Some(Fault::new(ErrorCode::BadRequest, text)));
    }
    room.shrink(produce.batch.len());
    metrics::received(produce.batch.len());
    Ok(Some((produce, room)))
}

/// Gives a batch its turn in the log. When this returns, batches after it come after it.
async fn append(client: &Client, open: &ProduceOpen, produce: Produce, room: Reserved) -> Answer {
    let received = Instant::now();
    let Produce { request, partition, .. } = produce;
    let engine = client.engine();
    let durable = match check(client, open, produce).await {
        Ok(batch) => engine
            .produce(&open.topic, partition, batch)
            .await
            .map_err(|error| fault::of_engine(&error)),
        Err(fault) => Err(fault),
    };
    let durable = match durable {
        Ok(durable) => durable,
        Err(fault) => return Box::pin(std::future::ready(refusal(fault, request))),
    };
    let shard = engine.shard();
    Box::pin(async move {
        let outcome = durable.await;
        drop(room);
        match outcome {
            Ok(ack) => {
                metrics::acked(received.elapsed());
                Frame::Ack(Ack {
                    request,
                    base_offset: ack.base_offset,
                    append_ts: ack.append_ts,
                    csn: ack.csn,
                    epoch: ack.epoch,
                    partition,
                    shard,
                })
            }
            Err(error) => refusal(fault::of_engine(&error), request),
        }
    })
}

async fn check(
    client: &Client,
    open: &ProduceOpen,
    produce: Produce,
) -> Result<RecordBatch, Fault> {
    if let Some(only) = open.partition.filter(|only| *only != produce.partition) {
        let text = format!(
            "the stream was opened for partition {only}, and a frame is for {}",
            produce.partition
        );
        return Err(Fault::new(ErrorCode::BadRequest, text));
    }
    let batch = client.broker.border.check(produce.batch, produce.crc).await?;
    metrics::received_records(batch.record_count());
    Ok(batch)
}

fn refusal(fault: Fault, request: u64) -> Frame {
    metrics::fault(fault.code);
    Frame::Fault(fault.of_request(request))
}

/// Sends the answers in order; those that are ready together leave together. None when the client
/// does not take them.
async fn answer(
    mut writer: FrameWriter,
    mut answers: mpsc::Receiver<Answer>,
) -> Option<FrameWriter> {
    while let Some(mut answer) = answers.recv().await {
        loop {
            let ready = tokio::select! {
                biased;
                frame = &mut answer => Some(frame),
                () = std::future::ready(()) => None,
            };
            let frame = match ready {
                Some(frame) => frame,
                None => {
                    flush(&mut writer).await?;
                    answer.await
                }
            };
            writer.push(&frame);
            if writer.buffered() >= limits::ANSWERS_BYTES {
                flush(&mut writer).await?;
            }
            match answers.try_recv() {
                Ok(next) => answer = next,
                Err(_) => break,
            }
        }
        flush(&mut writer).await?;
    }
    Some(writer)
}

/// A client that sends but takes no answers for long would hold the room of what it sent.
async fn flush(writer: &mut FrameWriter) -> Option<()> {
    timeout(limits::REPLY_DEADLINE, writer.flush()).await.ok()?.ok()
}
