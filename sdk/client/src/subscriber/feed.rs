//! The task that drives one subscribe stream: batches in, credit out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use logmill_model::{Offset, Timestamp};
use logmill_wire::{Data, Frame};
use tokio::sync::{Notify, mpsc};

use super::record::ReceivedBatch;
use crate::Error;
use crate::stream::{FrameReader, FrameWriter, unexpected};

/// What happens on a partition.
#[derive(Debug)]
pub(super) enum Event {
    /// A batch came, which cost this much credit.
    Batch { batch: ReceivedBatch, returns: Arc<Returns>, cost: u64 },
    /// All that was asked for was read.
    Done,
    /// Nothing more can be read.
    Failed(Error),
}

/// Credit that the application is done with, on its way to the stream.
#[derive(Debug, Default)]
pub(super) struct Returns {
    bytes: AtomicU64,
    wake: Notify,
}

impl Returns {
    pub(super) fn give_back(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.wake.notify_one();
    }

    async fn take(&self) -> u64 {
        self.wake.notified().await;
        self.bytes.swap(0, Ordering::Relaxed)
    }
}

/// Where reading ends, when it does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    /// Before this offset.
    pub(super) offset: Option<Offset>,
    /// Before the first batch that was appended at this time or later.
    pub(super) time: Option<Timestamp>,
}

impl Stop {
    fn is_before(&self, next: Offset) -> bool {
        self.offset.is_some_and(|stop| stop <= next)
    }
}

/// One partition's stream.
pub(super) struct Feed {
    pub(super) partition: u32,
    pub(super) writer: FrameWriter,
    pub(super) reader: FrameReader,
    /// The first offset that was not given yet.
    pub(super) next: Offset,
    pub(super) stop: Stop,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) returns: Arc<Returns>,
}

impl Feed {
    /// Runs until the end, an error, or until nobody listens any more.
    pub(super) async fn run(mut self) {
        let end = match self.read().await {
            Ok(()) => Event::Done,
            Err(error) => Event::Failed(error),
        };
        self.reader.stop();
        self.writer.finish();
        // An error says that the subscriber is gone.
        let _ = self.events.send(end).await;
    }

    async fn read(&mut self) -> Result<(), Error> {
        while !self.stop.is_before(self.next) {
            let returns = Arc::clone(&self.returns);
            tokio::select! {
                frame = self.reader.next() => match frame? {
                    Some(Frame::Data(data)) => self.take(data).await?,
                    Some(Frame::Progress(progress)) => self.next = self.next.max(progress.next),
                    Some(Frame::Fault(fault)) => return Err(fault.into()),
                    Some(other) => return Err(unexpected(&other)),
                    None => return Err(ended()),
                },
                bytes = returns.take() => self.give_back(bytes).await?,
                () = self.events.closed() => return Ok(()),
            }
        }
        Ok(())
    }

    async fn give_back(&mut self, bytes: u64) -> Result<(), Error> {
        match self.writer.send(&Frame::Credit(bytes)).await {
            // Stopped: the broker has ended the subscription, and its last frame says why.
            Ok(()) | Err(quinn::WriteError::Stopped(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn take(&mut self, data: Data) -> Result<(), Error> {
        let cost = data.body_bytes();
        let Data { envelope, batch } = data;
        let batch = envelope
            .check_batch(batch)
            .map_err(|error| bad_batch(envelope.base_offset, self.partition, &error))?;
        if self.stop.time.is_some_and(|time| envelope.append_ts >= time) {
            self.stop.offset = Some(self.next);
            return Ok(());
        }
        let wanted = self.next.0..self.stop.offset.map_or(u64::MAX, |stop| stop.0);
        self.next = self.next.max(envelope.end_offset());
        let batch = ReceivedBatch { partition: self.partition, envelope, batch, wanted };
        let event = Event::Batch { batch, returns: Arc::clone(&self.returns), cost };
        // An error says that the subscriber is gone, which ends the loop.
        let _ = self.events.send(event).await;
        Ok(())
    }
}

/// What is said of a batch that is not what it should be.
pub(super) fn bad_batch(base: Offset, partition: u32, error: &logmill_model::Error) -> Error {
    Error::Protocol(format!("the batch at offset {base} of partition {partition}: {error}"))
}

fn ended() -> Error {
    Error::Disconnected { code: None, reason: "the broker has ended the subscription".to_owned() }
}
