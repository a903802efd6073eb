//! Retention: moves the starts of partitions up to what their topics' policies keep.
//!
//! A pass looks at every topic with a limit, commits the new starts as records of `_segments`, and
//! the views trim the log when these are durable. The claims of a deployment that are older than its
//! window go in the same way. A start is never computed again: a restart, or
//! another policy, finds what was decided. **Nothing goes that is younger than the time limit, nor
//! what a partition needs to have its bytes**; what goes, goes in batches.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use logmill_log::Log;
use logmill_model::internal::{DeploymentRecord, SegmentsRecord, StartRecord, TopicRecord};
use logmill_model::{
    Append, Commit, CommitClass, Offset, OnFull, PartitionId, Record, RecordBatch, Refusal,
    Timestamp, TopicId, World,
};
use tokio::sync::watch;

use crate::Error;
use crate::catalog::Catalog;
use crate::limits::{AGE_CHECK_MS_MAX, STARTS_MAX};
use crate::parts::Parts;

/// How often the age of a topic's records is looked at, at most, in its retention time: that may
/// take a read of the disk for each partition.
const AGE_CHECKS: u64 = 20;

/// What makes decisions be looked at once a minute: that takes a read for each source.
const DECISIONS_CHECK_MS: u64 = AGE_CHECK_MS_MAX * AGE_CHECKS;

/// Keeps to the policies until it is told to stop.
pub(crate) async fn run(parts: Arc<Parts>, interval: Duration, mut stop: watch::Receiver<bool>) {
    let mut retention = Retention::default();
    let mut policies = parts.policies.subscribe();
    loop {
        policies.mark_unchanged();
        let wait = match retention.pass(&parts).await {
            Ok(Pass::Whole) => interval,
            Ok(Pass::Part) => Duration::ZERO,
            Err(Error::ShuttingDown | Error::Unknown) => return,
            Err(error) => {
                tracing::warn!(%error, "retention is tried again later");
                interval
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            // An error is an engine that is gone.
            _ = policies.changed() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// How far a pass came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Every partition starts where its policy says.
    Whole,
    /// There are more than one commit takes.
    Part,
}

/// What is remembered from pass to pass: nothing that another start would miss.
#[derive(Debug, Default)]
pub(crate) struct Retention {
    /// When the age of a topic's records was looked at, for which retention time; by the topic and
    /// the first of the partitions that this is about.
    aged: HashMap<PartitionId, (Timestamp, u64)>,
}

impl Retention {
    /// Moves the starts that are to be moved.
    pub(crate) async fn pass(&mut self, parts: &Arc<Parts>) -> Result<Pass, Error> {
        let (catalog, now) = (parts.views.catalog(), parts.clock.now());
        let limited = self.limited(&catalog, now);
        if limited.is_empty() {
            return Ok(Pass::Whole);
        }
        let log = parts.log.clone();
        let starts = tokio::task::spawn_blocking(move || starts(&log, &limited))
            .await
            .map_err(|_| Error::Panicked("retention"))?;
        if starts.is_empty() {
            return Ok(Pass::Whole);
        }
        let committed = parts.commit(commit_of(&starts)?).await;
        if committed.is_err() || starts.len() == STARTS_MAX {
            // Not all that was found to be too old is gone: the next pass looks again.
            self.aged.clear();
        }
        match committed {
            Ok(_) if starts.len() == STARTS_MAX => Ok(Pass::Part),
            // A topic was deleted meanwhile.
            Ok(_) | Err(Error::Refused(Refusal::NoSuchPartition(_))) => Ok(Pass::Whole),
            Err(error) => Err(error),
        }
    }

    /// The topics that have a limit to look at now.
    fn limited(&mut self, catalog: &Catalog, now: Timestamp) -> Vec<Limited> {
        let mut limited: Vec<Limited> =
            catalog.topics().map(|(_, topic)| self.of_topic(topic, now)).collect();
        for (name, deployment) in catalog.deployments() {
            let Some(version) = catalog.active_version(name) else { continue };
            let window_ms = version.settings.idempotency_window_ms;
            limited.extend(self.of_claims(deployment, window_ms, now));
            let on = version.settings.on.iter().filter_map(|topic| catalog.topic(topic));
            limited.extend(self.of_decisions(deployment, on.map(|topic| &**topic), now));
        }
        let is_there: HashSet<PartitionId> = limited.iter().map(Limited::first).collect();
        self.aged.retain(|first, _| is_there.contains(first));
        limited.retain(|it| it.cutoff.is_some() || it.bytes.is_some() || it.of.is_some());
        limited
    }

    fn of_topic(&mut self, topic: &TopicRecord, now: Timestamp) -> Limited {
        let policy = &topic.policy;
        Limited {
            topic: topic.id,
            partitions: 0..topic.partitions,
            cutoff: self.cutoff(PartitionId::new(topic.id, 0), policy.retention_time_ms, now),
            bytes: policy.retention_bytes.filter(|_| policy.on_full == OnFull::DropOldest),
            of: None,
        }
    }

    /// Decisions are kept as long as what they are about.
    fn of_decisions<'a>(
        &mut self,
        deployment: &DeploymentRecord,
        on: impl Iterator<Item = &'a TopicRecord>,
        now: Timestamp,
    ) -> Option<Limited> {
        let decisions = PartitionId::decisions_of(deployment.id)?;
        if deployment.world != World::Consumer {
            return None;
        }
        let is_due = self.cutoff(decisions, Some(DECISIONS_CHECK_MS), now).is_some();
        let sources: Vec<PartitionId> = on.flat_map(|topic| topic.partition_ids()).collect();
        Some(Limited {
            topic: decisions.topic,
            partitions: decisions.index..decisions.index.saturating_add(1),
            cutoff: None,
            bytes: None,
            of: is_due.then_some(sources),
        })
    }

    fn of_claims(
        &mut self,
        deployment: &DeploymentRecord,
        window_ms: u64,
        now: Timestamp,
    ) -> Option<Limited> {
        let claims = PartitionId::claims_of(deployment.id)?;
        let is_one = deployment.world == World::Consumer;
        is_one.then(|| Limited {
            topic: claims.topic,
            partitions: claims.index..claims.index.saturating_add(1),
            cutoff: self.cutoff(claims, Some(window_ms), now),
            bytes: None,
            of: None,
        })
    }

    /// What is older than this may go, when it is time to look.
    fn cutoff(
        &mut self,
        first: PartitionId,
        keep_ms: Option<u64>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let due_ms = |keep_ms: u64| (keep_ms / AGE_CHECKS).min(AGE_CHECK_MS_MAX);
        let keep_ms = keep_ms.filter(|keep_ms| {
            self.aged.get(&first).is_none_or(|(last, kept_ms)| {
                kept_ms != keep_ms || last.ms_until(now) >= due_ms(*keep_ms)
            })
        })?;
        self.aged.insert(first, (now, keep_ms));
        Some(now.minus_ms(keep_ms))
    }
}

/// What to keep of a topic.
#[derive(Debug)]
struct Limited {
    topic: TopicId,
    partitions: Range<u32>,
    /// What was appended at this time or later.
    cutoff: Option<Timestamp>,
    /// At least so many bytes of each partition.
    bytes: Option<u64>,
    /// What is as young as the oldest record of these.
    of: Option<Vec<PartitionId>>,
}

/// The starts that are to be moved, not more than one commit takes. May wait for the disk.
fn starts(log: &Log, limited: &[Limited]) -> Vec<(PartitionId, Offset)> {
    let partitions = limited.iter().flat_map(|it| {
        it.partitions.clone().map(move |index| (it, PartitionId::new(it.topic, index)))
    });
    partitions.filter_map(|(it, id)| Some((id, it.start(log, id)?))).take(STARTS_MAX).collect()
}

impl Limited {
    fn first(&self) -> PartitionId {
        PartitionId::new(self.topic, self.partitions.start)
    }

    /// Where the partition is to start, when that is not where it starts.
    fn start(&self, log: &Log, partition: PartitionId) -> Option<Offset> {
        let now = log.start_offset(partition);
        let young = self.cutoff.and_then(|cutoff| match log.offset_at(partition, cutoff) {
            Ok(offset) => Some(offset),
            Err(error) => {
                tracing::warn!(%partition, %error, "the age of its records can't be told");
                None
            }
        });
        let enough = self
            .bytes
            .filter(|bytes| log.partition_bytes(partition) > *bytes)
            .map(|bytes| log.retained_from(partition, bytes));
        let about = self.of.as_ref().and_then(|sources| about(log, partition, sources));
        young.max(enough).max(about).filter(|start| *start > now)
    }
}

/// Where what is as young as the oldest record of these begins; None when that can't be told.
fn about(log: &Log, partition: PartitionId, sources: &[PartitionId]) -> Option<Offset> {
    let mut oldest = None::<Timestamp>;
    for source in sources {
        let start = log.start_offset(*source);
        if start == log.end_offset(*source) {
            continue;
        }
        let batches = log.read(*source, start, 1).ok()?;
        let appended = batches.first()?.envelope.append_ts;
        oldest = Some(oldest.map_or(appended, |it| it.min(appended)));
    }
    match oldest {
        Some(oldest) => log.offset_at(partition, oldest).ok(),
        None => Some(log.end_offset(partition)),
    }
}

fn commit_of(starts: &[(PartitionId, Offset)]) -> Result<Commit, Error> {
    let record = |(id, offset): &(PartitionId, Offset)| {
        SegmentsRecord::Start(*id, Some(StartRecord { offset: *offset })).encode()
    };
    let records: Vec<Record> = starts.iter().map(record).collect();
    let append = Append::new(PartitionId::SEGMENTS, RecordBatch::of(&records)?);
    Ok(Commit { appends: vec![append], class: CommitClass::Housekeeping, ..Commit::default() })
}

#[cfg(test)]
mod tests;
