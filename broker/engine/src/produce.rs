//! Producing: a client's batch, and what the topic's routers make of it, as one commit.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use logmill_model::limits::BATCH_BYTES_MAX;
use logmill_model::{
    Append, Commit, Compression, Csn, DeploymentName, Epoch, Message, Offset, Outcome, PlainBatch,
    RecordBatch, Timestamp, TopicName, Unrouted, murmur2,
};
use logmill_wasm::{CallContext, Failure};

use crate::active::Active;
use crate::limits::{ROUTE_BYTES_MAX, ROUTE_TIME_MAX};
use crate::outputs::Gathered;
use crate::parts::Parts;
use crate::seed::{mix, seed};
use crate::{Engine, Error};

/// Where a produced batch came to lie: it is durable, and whoever reads can see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The offset of the batch's first record.
    pub base_offset: Offset,
    /// When the broker took it in.
    pub append_ts: Timestamp,
    /// The commit.
    pub csn: Csn,
    /// The broker's start that committed it.
    pub epoch: Epoch,
}

impl Engine {
    /// Produces a batch, in two steps, so that a stream of batches pipelines: when the call
    /// returns, the batch is routed and has its turn; the future that it returns resolves when
    /// the batch is durable.
    ///
    /// The batch's records must have passed [`PlainBatch::check_produced`]. It is stored as it is,
    /// compressed or not.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`], [`Error::RouterNotReady`],
    /// [`Error::RouterRefused`]; from the future [`Error::Refused`] and [`Error::Unknown`].
    pub async fn produce(
        &self,
        topic: &TopicName,
        partition: u32,
        batch: RecordBatch,
    ) -> Result<impl Future<Output = Result<Ack, Error>> + Send + use<>, Error> {
        let parts = self.parts();
        let target = parts.partition(topic, partition)?;
        let routers = self.deployments().routers_of(&parts.views.catalog(), topic)?;
        let records = u64::from(batch.record_count());
        let bytes = batch.bytes().len() as u64;
        let mut commit = Commit::default();
        commit.appends.push(Append::new(target, batch.clone()));
        // Before it waits for room among commits that may wait for the disk, and before routers work
        // for nothing.
        parts.check_space(commit.class)?;
        let routed_max =
            if routers.is_empty() { 0 } else { ROUTE_BYTES_MAX + decompressed_bytes(&batch) };
        // Taken before routing: what waits for its turn is counted, outputs included.
        let room = parts.sequencer.reserve(commit.batch_bytes() + routed_max).await?;
        if !routers.is_empty() {
            let (parts, topic) = (self.shared_parts(), topic.clone());
            let route = move || {
                let (records, crc) = (batch.decompressed(BATCH_BYTES_MAX)?, batch.crc());
                Route { parts, topic, partition, records, crc }.all(&routers)
            };
            let routed = self.parts().pool.run(route).await??;
            commit.appends.extend(routed.into_appends());
        }
        let ticket = parts.sequencer.propose_in(room, commit).await?;
        let views = Arc::clone(&parts.views);
        Ok(async move {
            match ticket.await {
                Outcome::Committed(committed) => {
                    metrics::counter!("logmill_produced_records_total").increment(records);
                    metrics::counter!("logmill_produced_bytes_total").increment(bytes);
                    Ok(Ack {
                        base_offset: committed.base_offsets[0],
                        append_ts: committed.time,
                        csn: committed.csn,
                        epoch: committed.epoch,
                    })
                }
                Outcome::Refused(refusal) => Err(views.named(refusal)),
                Outcome::Unknown => Err(Error::Unknown),
            }
        })
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
struct Route {
    parts: Arc<Parts>,
    topic: TopicName,
    partition: u32,
    records: PlainBatch,
    /// Of the batch as it was sent.
    crc: u32,
}

impl Route {
    fn all(&self, routers: &[Router]) -> Result<Gathered, Error> {
        let mut gathered = Gathered::default();
        let started = Instant::now();
        routers.iter().try_for_each(|router| self.through(router, started, &mut gathered))?;
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
        let seed = seed(&router.deployment, &self.topic, self.partition);
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
