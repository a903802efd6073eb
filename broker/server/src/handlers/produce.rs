//! Produce streams: batches in, an answer to each out, many in flight.
//!
//! One task reads: it takes room, reads a batch, checks it, and hands it to the engine, which
//! gives it its turn. A second one answers, in the order of the stream, when each is durable. When
//! there is no room, nothing is read, and the client waits in its own memory.

use std::collections::HashSet;
use std::pin::Pin;
use std::time::Instant;

use logmill_engine::Produce;
use logmill_model::limits::BATCH_BYTES_MAX;
use logmill_model::{ProducerStamp, ShardId};
use logmill_wire::{
    Accepts, Ack, Append, AppendBatch, ErrorCode, Fault, Frame, Message, ProduceOpen, ProduceOpened,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::debug;

use crate::broker::Client;
use crate::room::Reserved;
use crate::stream::{FrameReader, FrameWriter};
use crate::{fault, limits, metrics};

/// What a frame will be answered with.
type Answer = Pin<Box<dyn Future<Output = Vec<Frame>> + Send>>;

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
            Ok((turn, Some((frame, room)))) => turn.send(append(client, open, frame, room).await),
            Ok((_, None)) => return None,
            Err(fault) => return fault,
        }
    }
}

/// The next batches, and the room they take; None at the end of the stream.
async fn next(
    client: &Client,
    reader: &mut FrameReader,
) -> Result<Option<(Append, Reserved)>, Option<Fault>> {
    if !reader.begun().await.map_err(|end| fault::of_read(&end))? {
        return Ok(None);
    }
    let mut room = client.room.reserve().await;
    let Some(frame) = reader.next().await.map_err(|end| fault::of_read(&end))? else {
        return Ok(None);
    };
    let Some(append) = batches_of(frame) else {
        let text = "only produce and append frames may follow the opening of a produce stream";
        return Err(Some(Fault::new(ErrorCode::BadRequest, text)));
    };
    if append.request == 0 {
        let text = "a produce frame has request 0; number them from 1";
        return Err(Some(Fault::new(ErrorCode::BadRequest, text)));
    }
    let bytes = bytes_of(&append);
    room.shrink(bytes);
    metrics::received(bytes);
    Ok(Some((append, room)))
}

/// What a frame brings: a produce frame is an append of one batch.
fn batches_of(frame: Frame) -> Option<Append> {
    match frame {
        Frame::Append(append) => Some(append),
        Frame::Produce(it) => {
            let (first_sequence, expected_end) = (None, None);
            let logmill_wire::Produce { request, partition, crc, batch } = it;
            let batch = AppendBatch { partition, crc, first_sequence, expected_end, batch };
            Some(Append { request, batches: vec![batch] })
        }
        _ => None,
    }
}

fn bytes_of(append: &Append) -> usize {
    append.batches.iter().map(|it| it.batch.len()).sum()
}

/// Gives batches their turn in the log. When this returns, batches after them come after them.
async fn append(client: &Client, open: &ProduceOpen, append: Append, room: Reserved) -> Answer {
    let received = Instant::now();
    let request = append.request;
    let partitions: Vec<u32> = append.batches.iter().map(|it| it.partition).collect();
    let engine = client.engine();
    let durable = match check(client, open, append).await {
        Ok(batches) => {
            engine.produce_all(&open.topic, batches).await.map_err(|error| fault::of_engine(&error))
        }
        Err(fault) => Err(fault),
    };
    let durable = match durable {
        Ok(durable) => durable,
        Err(fault) => return Box::pin(std::future::ready(vec![refusal(fault, request)])),
    };
    let shard = engine.shard();
    Box::pin(async move {
        let outcome = durable.await;
        drop(room);
        match outcome {
            Ok(acks) => {
                metrics::acked(received.elapsed());
                let acks = acks.into_iter().zip(partitions);
                acks.map(|(ack, partition)| acked(ack, request, partition, shard)).collect()
            }
            Err(error) => vec![refusal(fault::of_engine(&error), request)],
        }
    })
}

fn acked(ack: logmill_engine::Ack, request: u64, partition: u32, shard: ShardId) -> Frame {
    let logmill_engine::Ack { base_offset, append_ts, csn, epoch, was_there, duplicates } = ack;
    Frame::Ack(Ack {
        request,
        base_offset,
        append_ts,
        csn,
        epoch,
        partition,
        shard,
        was_there,
        duplicates,
    })
}

async fn check(client: &Client, open: &ProduceOpen, append: Append) -> Result<Vec<Produce>, Fault> {
    let bad = |text: String| Fault::new(ErrorCode::BadRequest, text);
    if bytes_of(&append) > BATCH_BYTES_MAX {
        let text =
            format!("the batches of one frame have at most {BATCH_BYTES_MAX} bytes together");
        return Err(Fault::new(ErrorCode::BatchTooLarge, text));
    }
    let mut batches: Vec<Produce> = Vec::with_capacity(append.batches.len());
    let mut partitions = HashSet::new();
    for AppendBatch { partition, crc, first_sequence, expected_end, batch } in append.batches {
        if let Some(only) = open.partition.filter(|only| *only != partition) {
            return Err(bad(format!(
                "the stream was opened for partition {only}, and a frame is for {partition}"
            )));
        }
        if !partitions.insert(partition) {
            return Err(bad(format!("a frame has two batches for partition {partition}")));
        }
        let producer = match (first_sequence, open.producer) {
            (None, _) => None,
            (Some(first_sequence), Some(it)) => {
                Some(ProducerStamp { id: it.id, epoch: it.epoch, first_sequence })
            }
            (Some(_), None) => {
                let text = "a batch has a sequence, and the stream was opened without a producer";
                return Err(bad(text.to_owned()));
            }
        };
        let batch = client.broker.border.check(batch, crc).await?;
        metrics::received_records(batch.record_count());
        batches.push(Produce { partition, batch, producer, expected_end });
    }
    Ok(batches)
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
                frames = &mut answer => Some(frames),
                () = std::future::ready(()) => None,
            };
            let frames = match ready {
                Some(frames) => frames,
                None => {
                    flush(&mut writer).await?;
                    answer.await
                }
            };
            frames.iter().for_each(|frame| writer.push(frame));
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
