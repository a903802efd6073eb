//! Producing: a client's batch, and what the topic's routers make of it, as one commit.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use logmill_model::{
    Append, Commit, Csn, Epoch, Message, Offset, Outcome, RecordBatch, Timestamp, TopicName,
    Unrouted,
};
use logmill_wasm::{CallContext, Failure};

use crate::core::Core;
use crate::deployments::Deployment;
use crate::handler::Guest;
use crate::limits::{ROUTE_BYTES_MAX, ROUTE_TIME_MAX};
use crate::outputs::{Gathered, Grants};
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
    /// The batch must have passed [`RecordBatch::check_produced`].
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
        let core = self.core();
        let target = core.partition(topic, partition)?;
        let routers = self.deployments().routers_of(&core.views.catalog(), topic)?;
        let records = u64::from(batch.record_count());
        let bytes = batch.bytes().len() as u64;
        let mut commit = Commit::default();
        commit.appends.push(Append::new(target, batch.clone()));
        if !routers.is_empty() {
            let route = Route {
                core: self.shared_core(),
                topic: topic.clone(),
                partition,
                batch,
                started: Instant::now(),
            };
            let routed = core.pool.run(move || route.all(&routers)).await??;
            commit.appends.extend(routed.into_appends());
        }
        let ticket = core.sequencer.propose(commit).await?;
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
                Outcome::Refused(refusal) => Err(refusal.into()),
                Outcome::Unknown => Err(Error::Unknown),
            }
        })
    }
}

/// A router that is ready, and how it is used.
pub(crate) struct Router {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) guest: Guest,
    pub(crate) grants: Grants,
    pub(crate) unrouted: Unrouted,
}

/// One batch on its way through the routers of its topic.
struct Route {
    core: Arc<Core>,
    topic: TopicName,
    partition: u32,
    batch: RecordBatch,
    started: Instant,
}

impl Route {
    fn all(&self, routers: &[Router]) -> Result<Gathered, Error> {
        let mut gathered = Gathered::default();
        routers.iter().try_for_each(|router| self.through(router, &mut gathered))?;
        Ok(gathered)
    }

    fn through(&self, router: &Router, gathered: &mut Gathered) -> Result<(), Error> {
        let now = crate::clock::now();
        let refused = |index, reason: &str, detail: String| Error::RouterRefused {
            deployment: router.deployment.name().clone(),
            index,
            reason: reason.to_owned(),
            detail,
        };
        let failed =
            |index, failure: Failure| refused(index, failure.reason.as_str(), failure.detail);
        let mut instance =
            router.deployment.take_instance(&router.guest, now).map_err(|it| failed(0, it))?;
        let catalog = self.core.views.catalog();
        for (index, record) in self.batch.to_records() {
            let message = self.message(record);
            let mut log =
                |level, text: &str| router.guest.log.write(now, level, Some(&message), text);
            let call = CallContext { now, seed: u64::from(self.batch.crc()), log: &mut log };
            let outputs = instance.route(&message, call).map_err(|it| failed(index, it))?;
            if outputs.is_empty() && router.unrouted == Unrouted::Refuse {
                return Err(refused(index, "unrouted", "the router returned no output".to_owned()));
            }
            let writes = router.grants.writes(&outputs, 1, now).map_err(|it| failed(index, it))?;
            for write in &writes {
                gathered.add(&catalog, write, u64::from(self.partition)).map_err(|missing| {
                    refused(index, "not-granted", format!("topic {} does not exist", missing.0))
                })?;
            }
            if gathered.bytes() > ROUTE_BYTES_MAX {
                let detail = format!("more than {ROUTE_BYTES_MAX} bytes for one batch");
                return Err(refused(index, "output-limit", detail));
            }
            if self.started.elapsed() > ROUTE_TIME_MAX {
                let detail = format!("more than {} s for one batch", ROUTE_TIME_MAX.as_secs());
                return Err(refused(index, "deadline", detail));
            }
        }
        router.deployment.put_instance(instance);
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
