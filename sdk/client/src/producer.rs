//! Producing: records go in, batches go out, tickets come back.

mod drive;
mod options;
mod queue;
mod ticket;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use logmill_model::{BatchBuilder, Offset, Record, RecordBatch, Timestamp, TopicName, limits};
use logmill_wire::ProduceOpen;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::{Client, Error, clock};
use drive::Line;
use queue::{Queue, Target};

pub use options::ProducerOptions;
pub use ticket::{Ack, Ticket};

/// Produces to one topic. Cheap to clone; clones share batches and bounds.
///
/// [`send`](Self::send) puts a record into a batch and gives a [`Ticket`] for it. There is no
/// artificial wait: a batch leaves at once when nothing of its partition is on its way, and fills
/// while something is. Many batches are in flight; what waits and what is in flight is bounded in
/// bytes, and `send` waits for room.
///
/// Records with a key go to the partition of Kafka's murmur2 rule, those without go round by batch,
/// and [`send_to`](Self::send_to) names a partition. Records of one key lie in the order in which
/// they were sent.
///
/// **Each record is stored once.** The producer is known to the broker, and its batches are numbered:
/// when the connection is lost it connects again and sends again what has no answer, and the broker
/// stores what it has not stored yet. A ticket resolves when the outcome is known; it says unknown
/// only if the broker did not come back in time ([`ProducerOptions::retry_for`]). When all producers
/// of a topic are dropped, what they were given is still sent; [`flush`](Self::flush) waits for it.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use logmill_client::{Client, ConnectOptions, Record};
///
/// let client = Client::connect(ConnectOptions::discover(None)?).await?;
/// let producer = client.producer("orders".parse()?).await?;
/// let order = Record {
///     key: Some("customer-7".into()),
///     value: Some(r#"{"total":12}"#.into()),
///     ..Record::default()
/// };
/// let ack = producer.send(order).await?.wait().await?;
/// println!("partition {} offset {}", ack.partition, ack.offset);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Producer {
    shared: Arc<Shared>,
    _handle: Arc<Handle>,
}

/// What producers of a topic and the task that drives their stream share.
#[derive(Debug)]
struct Shared {
    /// Held for a few instructions, never across a wait.
    queue: Mutex<Queue>,
    /// A permit for each byte that may wait or be in flight.
    room: Semaphore,
    /// There is something new to do for the stream.
    work: Notify,
    /// How many acks have come.
    answers: AtomicU64,
    /// When it will have tried to go on for long enough, since the last ack.
    deadline: Mutex<Option<Instant>>,
    topic: TopicName,
    partitions: u32,
    buffer_bytes: usize,
    record_bytes_max: usize,
    batch_bytes_max: usize,
}

/// Dropped with the last producer: then the stream ends once all is sent.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue().close();
        self.shared.work.notify_one();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // The queue is whole between its calls: none of them leaves it half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes permits for this many bytes; they come back with the answer.
    async fn reserve(&self, bytes: usize) -> Result<u32, Error> {
        let permits = u32::try_from(bytes.min(self.buffer_bytes)).unwrap_or(u32::MAX);
        match self.room.acquire_many(permits).await {
            Ok(room) => room.forget(),
            // Closed when the stream failed, which is noted before.
            Err(_) => self.queue().check()?,
        }
        Ok(permits)
    }

    fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    fn count_answer(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// When to give up: streams that come and go without an ack do not put it off.
    fn deadline(&self, retry_for: Duration, made_progress: bool) -> Instant {
        let mut deadline = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        if made_progress {
            *deadline = None;
        }
        *deadline.get_or_insert_with(|| Instant::now() + retry_for)
    }

    /// Gives permits back.
    fn release(&self, permits: u32) {
        self.room.add_permits(permits as usize);
    }
}

impl Producer {
    pub(crate) async fn open(
        client: &Client,
        topic: TopicName,
        options: ProducerOptions,
    ) -> Result<Self, Error> {
        let told = client.welcome().limits;
        let at_most =
            |told: u64, limit: usize| usize::try_from(told).map_or(limit, |n| n.min(limit));
        let batch_bytes_max = at_most(told.batch_bytes_max, limits::BATCH_BYTES_MAX);
        let options = options.within(batch_bytes_max);
        let mut line = Line {
            client: client.clone(),
            open: ProduceOpen { topic: topic.clone(), partition: None, producer: None },
            name: options.name.clone(),
            retry_for: options.idempotent.then_some(options.retry_for),
        };
        if line.is_unknown() && line.name.is_some() {
            // Whoever had the name is fenced from here on.
            line.register().await?;
        }
        let (stream, partitions) = line.open(client.connection()).await?;
        if !(1..=limits::PARTITIONS_MAX).contains(&partitions) {
            return Err(Error::Protocol(format!("a topic of {partitions} partitions")));
        }
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::new(partitions, &options)),
            room: Semaphore::new(options.buffer_bytes),
            work: Notify::new(),
            answers: AtomicU64::new(0),
            deadline: Mutex::new(None),
            topic,
            partitions,
            buffer_bytes: options.buffer_bytes,
            record_bytes_max: at_most(told.record_bytes_max, limits::RECORD_BYTES_MAX),
            batch_bytes_max,
        });
        tokio::spawn(drive::drive(Arc::clone(&shared), line, stream));
        let handle = Handle { shared: Arc::clone(&shared) };
        Ok(Self { shared, _handle: Arc::new(handle) })
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &TopicName {
        &self.shared.topic
    }

    /// How many partitions the topic has.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        self.shared.partitions
    }

    /// Sends a record to the partition of its key, or without a key to the next one in turn. Waits
    /// for room; the ticket tells when it is durable. A `create_ts` of 0 becomes the time of now.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the record breaks a rule; [`Error::Disconnected`]. It was not sent.
    pub async fn send(&self, record: Record) -> Result<Ticket, Error> {
        let target = match &record.key {
            Some(key) => {
                Target::Partition(logmill_model::partition_of_key(key, self.shared.partitions))
            }
            None => Target::InTurn,
        };
        self.enqueue(target, record).await
    }

    /// Sends a record to this partition, whatever its key.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`Error::NoSuchPartition`].
    pub async fn send_to(&self, partition: u32, record: Record) -> Result<Ticket, Error> {
        self.check_partition(partition)?;
        self.enqueue(Target::Partition(partition), record).await
    }

    /// Sends a batch as it is to this partition, behind the records that were sent to it before. It
    /// is the broker that judges its records. The ticket is that of its first record.
    ///
    /// # Errors
    /// [`Error::NoSuchPartition`], [`Error::Disconnected`]. It was not sent.
    pub async fn send_batch(&self, partition: u32, batch: RecordBatch) -> Result<Ticket, Error> {
        self.check_partition(partition)?;
        let permits = self.shared.reserve(batch.bytes().len()).await?;
        let pushed = self.shared.queue().push_batch(partition, batch, None, permits);
        self.settle(permits, pushed)
    }

    /// As [`send_batch`](Self::send_batch), to be appended only if the partition ends at `expected_end`
    /// then: else [`Error::Refused`] with the code end moved, which tells where it does.
    ///
    /// # Errors
    /// As [`send_batch`](Self::send_batch).
    pub async fn send_batch_at(
        &self,
        partition: u32,
        batch: RecordBatch,
        expected_end: Offset,
    ) -> Result<Ticket, Error> {
        self.check_partition(partition)?;
        let permits = self.shared.reserve(batch.bytes().len()).await?;
        let end = Some(expected_end);
        let pushed = self.shared.queue().push_batch(partition, batch, end, permits);
        self.settle(permits, pushed)
    }

    /// Sends batches for several partitions, one for each: all of them are appended, as one commit,
    /// or none. They go behind all that was sent before, and alone, which takes its time; together
    /// they may have as many bytes as one batch. The tickets are those of their first records.
    ///
    /// # Errors
    /// [`Error::NoSuchPartition`], [`Error::Invalid`], [`Error::Options`] when a partition stands twice
    /// or none at all, [`Error::Disconnected`]. None was sent.
    pub async fn send_all(&self, batches: Vec<(u32, RecordBatch)>) -> Result<Vec<Ticket>, Error> {
        let mut partitions = std::collections::BTreeSet::new();
        for (partition, _) in &batches {
            self.check_partition(*partition)?;
            if !partitions.insert(*partition) {
                let text = format!("two batches for partition {partition} can't go together");
                return Err(Error::Options(text));
            }
        }
        if !(1..=logmill_wire::limits::APPEND_BATCHES_MAX).contains(&batches.len()) {
            let max = logmill_wire::limits::APPEND_BATCHES_MAX;
            return Err(Error::Options(format!("1 to {max} batches can go together")));
        }
        let bytes = batches.iter().map(|(_, batch)| batch.bytes().len()).sum();
        let max = self.shared.batch_bytes_max;
        if bytes > max {
            return Err(logmill_model::Error::BatchTooLarge { bytes, max }.into());
        }
        let permits = self.shared.reserve(bytes).await?;
        // What was sent before has its answer in its ticket.
        let _ = self.flush().await;
        let pushed = self.shared.queue().push_together(batches, permits);
        self.settle(permits, pushed)
    }

    /// Waits until everything that was sent before has its answer.
    ///
    /// # Errors
    /// The first that is not an ack; the others are in their tickets.
    pub async fn flush(&self) -> Result<(), Error> {
        let outstanding = self.shared.queue().outstanding();
        let mut result = Ok(());
        for batch in outstanding {
            let answer = batch.wait().await;
            if let (Ok(()), Err(error)) = (&result, answer) {
                result = Err(error.clone());
            }
        }
        result
    }

    async fn enqueue(&self, target: Target, mut record: Record) -> Result<Ticket, Error> {
        self.check_record(&record)?;
        if record.create_ts == Timestamp::ZERO {
            record.create_ts = clock::now();
        }
        let permits = self.shared.reserve(BatchBuilder::encoded_bytes(&record)).await?;
        let pushed = self.shared.queue().push(target, &record, permits);
        self.settle(permits, pushed)
    }

    fn settle<T>(&self, permits: u32, pushed: Result<(T, queue::Due), Error>) -> Result<T, Error> {
        match pushed {
            Ok((ticket, due)) => {
                if due == queue::Due::Now {
                    self.shared.work.notify_one();
                }
                Ok(ticket)
            }
            Err(error) => {
                self.shared.release(permits);
                Err(error)
            }
        }
    }

    fn check_partition(&self, partition: u32) -> Result<(), Error> {
        let partitions = self.shared.partitions;
        if partition < partitions {
            return Ok(());
        }
        Err(Error::NoSuchPartition { partition, partitions })
    }

    /// What the broker would refuse a whole batch for.
    fn check_record(&self, record: &Record) -> Result<(), Error> {
        let (bytes, max) = (BatchBuilder::encoded_bytes(record), self.shared.record_bytes_max);
        if bytes > max {
            return Err(logmill_model::Error::RecordTooLarge { index: 0, bytes, max }.into());
        }
        let reserved = |name: &str| {
            limits::RESERVED_HEADER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        };
        match record.headers.iter().find(|header| reserved(&header.name)) {
            Some(header) => {
                let name = header.name.clone();
                Err(logmill_model::Error::ReservedHeader { index: 0, name }.into())
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
