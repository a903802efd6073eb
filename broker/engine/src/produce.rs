//! Producing: a client's batch, and what the topic's routers make of it, as one commit.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use logmill_model::limits::BATCH_BYTES_MAX;
use logmill_model::{
    Append, BatchKeys, Commit, Committed, Compression, Csn, DeploymentName, DuplicateRecord, Epoch,
    Message, Offset, Outcome, PlainBatch, Precondition, ProducerIdentity, ProducerName,
    ProducerStamp, RecordBatch, Refusal, SequencedBatch, Timestamp, TopicName, Unrouted, murmur2,
};
use logmill_wasm::{CallContext, Failure};

use crate::active::Active;
use crate::limits::{KEYS_INLINE_MAX, ROUTE_BYTES_MAX, ROUTE_TIME_MAX};
use crate::outputs::Gathered;
use crate::parts::Parts;
use crate::seed::{mix, seed};
use crate::{Engine, Error, fingerprints};

/// A batch to produce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Produce {
    /// Where to.
    pub partition: u32,
    /// Its records must have passed [`PlainBatch::check_produced`]. It is stored as it is, compressed
    /// or not.
    pub batch: RecordBatch,
    /// Who from, and which in the order of what that one sends to the partition.
    pub producer: Option<ProducerStamp>,
    /// Where the partition must end.
    pub expected_end: Option<Offset>,
}

impl Produce {
    /// Of nobody in particular, wherever the partition ends.
    #[must_use]
    pub fn new(partition: u32, batch: RecordBatch) -> Self {
        Self { partition, batch, producer: None, expected_end: None }
    }
}

/// Where a produced batch came to lie: it is durable, and whoever reads can see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The offset of the batch's first record.
    pub base_offset: Offset,
    /// When the broker took it in.
    pub append_ts: Timestamp,
    /// The commit.
    pub csn: Csn,
    /// The broker's start that committed it; the one that tells, of what was there before.
    pub epoch: Epoch,
    /// Whether its producer had sent it before: it was there, and is so once.
    pub was_there: bool,
    /// Its records that were not stored, since one with their idempotency key was there. The others
    /// lie densely from the base offset on.
    pub duplicates: Vec<DuplicateRecord>,
}

impl Engine {
    /// Registers a producer, durably: from then on its batches are appended once, however often they
    /// are sent. Under a name that is known, it is the one of that name, in its next epoch, and what
    /// an older holder of the name still sends is refused.
    ///
    /// # Errors
    /// [`Error::DiskFull`], [`Error::Unknown`], [`Error::ShuttingDown`].
    pub async fn register_producer(
        &self,
        name: Option<ProducerName>,
    ) -> Result<ProducerIdentity, Error> {
        match self.parts().sequencer.register(name).await? {
            (Outcome::Committed(_), Some(identity)) => Ok(identity),
            (Outcome::Refused(refusal), _) => Err(refusal.into()),
            (Outcome::Committed(_) | Outcome::Unknown, _) => Err(Error::Unknown),
        }
    }

    /// Produces one batch of nobody in particular: see [`produce_all`](Self::produce_all).
    ///
    /// # Errors
    /// As [`produce_all`](Self::produce_all).
    pub async fn produce(
        &self,
        topic: &TopicName,
        partition: u32,
        batch: RecordBatch,
    ) -> Result<impl Future<Output = Result<Ack, Error>> + Send + use<>, Error> {
        let durable = self.produce_all(topic, vec![Produce::new(partition, batch)]).await?;
        Ok(async move { durable.await?.pop().ok_or(Error::Unknown) })
    }

    /// Produces batches to partitions of a topic, all or none, in two steps, so that a stream of them
    /// pipelines: when the call returns, they are routed and have their turn; the future that it
    /// returns resolves when they are durable, with an ack for each.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`], [`Error::RouterNotReady`],
    /// [`Error::RouterRefused`]; from the future [`Error::Refused`] and [`Error::Unknown`].
    pub async fn produce_all(
        &self,
        topic: &TopicName,
        batches: Vec<Produce>,
    ) -> Result<impl Future<Output = Result<Vec<Ack>, Error>> + Send + use<>, Error> {
        let parts = self.parts();
        let catalog = parts.views.catalog();
        let routers = self.deployments().routers_of(&catalog, topic)?;
        let (mut commit, count) = (Commit::default(), batches.len());
        let (mut records, mut routed_max) = (0, 0);
        for Produce { partition, batch, producer, expected_end } in &batches {
            let partition = parts.partition(topic, *partition)?;
            records += u64::from(batch.record_count());
            routed_max += decompressed_bytes(batch);
            let keys = if catalog.dedupe_window_ms(partition.topic).is_some() {
                no_routers(&routers)?;
                Some(keys_of(batch.clone()).await?)
            } else {
                None
            };
            let append = Append::new(partition, batch.clone());
            commit.appends.push(Append { producer: *producer, keys, ..append });
            let condition = expected_end.map(|end| Precondition::EndOffset { partition, end });
            commit.preconditions.extend(condition);
        }
        let bytes = commit.batch_bytes() as u64;
        // Before it waits for room among commits that may wait for the disk, and before routers work
        // for nothing. What was sent before may be there already, which only its turn tells.
        if batches.iter().all(|it| it.producer.is_none()) {
            parts.check_space(commit.class)?;
        }
        let has_keys = commit.appends.iter().any(|append| append.keys.is_some());
        let routed_max = match (routers.is_empty(), has_keys) {
            (true, false) => 0,
            // What was decompressed waits as well.
            (true, true) => routed_max,
            (false, _) => ROUTE_BYTES_MAX + routed_max,
        };
        // Taken before routing: what waits for its turn is counted, outputs included.
        let room = parts.sequencer.reserve(commit.batch_bytes() + routed_max).await?;
        if !routers.is_empty() {
            let (parts, topic) = (self.shared_parts(), topic.clone());
            let route = move || Route::all(&parts, &topic, &batches, &routers);
            commit.appends.extend(self.parts().pool.run(route).await??.into_appends());
        }
        let ticket = parts.sequencer.propose_in(room, commit).await?;
        let (views, epoch) = (Arc::clone(&parts.views), self.epoch());
        Ok(async move {
            match ticket.await {
                Outcome::Committed(committed) => {
                    metrics::counter!("logmill_produced_records_total").increment(records);
                    metrics::counter!("logmill_produced_bytes_total").increment(bytes);
                    Ok(acks(&committed, count))
                }
                Outcome::Refused(Refusal::Duplicate(originals)) => {
                    metrics::counter!("logmill_duplicate_batches_total").increment(count as u64);
                    Ok(originals.into_iter().map(|it| Ack::of_original(it, epoch)).collect())
                }
                Outcome::Refused(Refusal::KeysKnown { csn, time, ends, duplicates }) => {
                    let base_offsets = ends;
                    let known = Committed { csn, epoch, time, base_offsets, duplicates };
                    Ok(acks(&known, count))
                }
                Outcome::Refused(refusal) => Err(views.named(refusal)),
                Outcome::Unknown => Err(Error::Unknown),
            }
        })
    }
}

/// What routers make of records can't be told apart from what they make of duplicates.
fn no_routers(routers: &[Router]) -> Result<(), Error> {
    if routers.is_empty() {
        return Ok(());
    }
    let what = "a topic with a dedupe-window can't have routers; alter it, or delete them";
    Err(logmill_model::Error::TopicPolicy(what.to_owned()).into())
}

/// The idempotency keys of a batch, which are looked for on another thread where that takes long.
async fn keys_of(batch: RecordBatch) -> Result<BatchKeys, Error> {
    let is_small = batch.record_count() <= KEYS_INLINE_MAX;
    let look = move || batch.decompressed(BATCH_BYTES_MAX).map(fingerprints::of_batch);
    let keys = match is_small {
        true => look(),
        false => tokio::task::spawn_blocking(look).await.map_err(|_| Error::ShuttingDown)?,
    };
    Ok(keys?)
}

/// The acks of a commit's first appends.
fn acks(committed: &Committed, count: usize) -> Vec<Ack> {
    let Committed { csn, epoch, time, base_offsets, duplicates } = committed;
    let of = |number| {
        let its = duplicates.iter().filter(move |(append, _)| *append == number);
        its.map(|(_, duplicate)| *duplicate).collect()
    };
    let ack = |(number, base_offset): (usize, &Offset)| Ack {
        duplicates: of(number),
        base_offset: *base_offset,
        append_ts: *time,
        csn: *csn,
        epoch: *epoch,
        was_there: false,
    };
    base_offsets.iter().take(count).enumerate().map(ack).collect()
}

impl Ack {
    fn of_original(original: SequencedBatch, epoch: Epoch) -> Self {
        let SequencedBatch { base_offset, append_ts, csn, duplicates, .. } = original;
        Self { base_offset, append_ts, csn, epoch, was_there: true, duplicates }
    }
}

/// What looking into a batch takes besides the batch.
fn decompressed_bytes(batch: &RecordBatch) -> usize {
    match batch.compression() {
        Compression::None => 0,
        Compression::Lz4 | Compression::Zstd => batch.records_bytes(),
    }
}

/// A router that is ready.
pub(crate) struct Router {
    pub(crate) deployment: DeploymentName,
    pub(crate) active: Arc<Active>,
}

/// One batch on its way through the routers of its topic.
struct Route<'a> {
    parts: &'a Parts,
    topic: &'a TopicName,
    partition: u32,
    records: PlainBatch,
    /// Of the batch as it was sent.
    crc: u32,
}

impl<'a> Route<'a> {
    /// What the routers make of all batches together.
    fn all(
        parts: &'a Parts,
        topic: &'a TopicName,
        batches: &[Produce],
        routers: &[Router],
    ) -> Result<Gathered, Error> {
        let mut gathered = Gathered::default();
        let started = Instant::now();
        for Produce { partition, batch, .. } in batches {
            let (records, crc) = (batch.decompressed(BATCH_BYTES_MAX)?, batch.crc());
            let route = Self { parts, topic, partition: *partition, records, crc };
            routers.iter().try_for_each(|it| route.through(it, started, &mut gathered))?;
        }
        Ok(gathered)
    }

    fn through(
        &self,
        router: &Router,
        started: Instant,
        gathered: &mut Gathered,
    ) -> Result<(), Error> {
        let (now, active) = (self.parts.clock.now(), &router.active);
        let refused = |index, reason: &str, detail: String| Error::RouterRefused {
            deployment: router.deployment.clone(),
            index,
            reason: reason.to_owned(),
            detail,
        };
        let failed =
            |index, failure: Failure| refused(index, failure.reason.as_str(), failure.detail);
        let mut instance = active.take_instance(now).map_err(|it| failed(0, it))?;
        let catalog = self.parts.views.catalog();
        let seed = seed(&router.deployment, self.topic, self.partition);
        for record in &self.records {
            let index = record.offset_delta;
            let message = self.message(record.to_record(self.records.bytes()));
            let mut log =
                |level, text: &str| active.guest.log.write(now, level, Some(&message), text);
            let seed = mix(seed, u64::from(murmur2(record.encoded())), 1);
            let call = CallContext { now, seed, log: &mut log, memory: None };
            let outputs = instance.route(&message, call).map_err(|it| failed(index, it))?;
            if outputs.is_empty() && active.unrouted == Unrouted::Refuse {
                return Err(refused(index, "unrouted", "the router returned no output".to_owned()));
            }
            for write in active.grants.writes(&outputs, 1, now).map_err(|it| failed(index, it))? {
                // By content, so that keyless outputs spread and the same batch goes the same way.
                gathered.add(&catalog, &write, u64::from(self.crc)).map_err(|missing| {
                    refused(index, "not-granted", format!("topic {} does not exist", missing.0))
                })?;
            }
            if gathered.bytes() > ROUTE_BYTES_MAX {
                let detail = format!("more than {ROUTE_BYTES_MAX} bytes for one batch");
                return Err(refused(index, "output-limit", detail));
            }
            if started.elapsed() > ROUTE_TIME_MAX {
                let detail = format!("more than {} s for one batch", ROUTE_TIME_MAX.as_secs());
                return Err(refused(index, "deadline", detail));
            }
        }
        active.put_instance(instance);
        Ok(())
    }

    fn message(&self, record: logmill_model::Record) -> Message {
        Message {
            topic: self.topic.to_string(),
            partition: self.partition,
            offset: None,
            record,
            append_ts: None,
            attempt: 1,
            first_failed_ts: None,
        }
    }
}
