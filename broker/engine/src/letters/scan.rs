//! Telling what has become of dead letters, without the records.

use std::ops::Range;

use logmill_log::StoredBatch;
use logmill_model::internal::RecordPlace;
use logmill_model::limits::{BATCH_BYTES_MAX, LETTERS_PAGE_MAX};
use logmill_model::{
    DeploymentName, LetterSummary, LettersPage, Offset, RecordBatch, TopicName, World,
};

use super::find::Dlq;
use crate::limits::{READ_BYTES_MAX, SCAN_BYTES_MAX};
use crate::parts::Parts;
use crate::{Engine, Error};

impl Engine {
    /// The dead letters of a deployment in a range of one partition of its dead-letter topic, at most
    /// `max` of them. A page may have fewer, or none, and still not be the
    /// last: there is a limit on what is read for it.
    ///
    /// # Errors
    /// [`Error::UnknownDeployment`], [`Error::LettersRefused`] for one that is no consumer,
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`].
    pub async fn letters(
        &self,
        name: &DeploymentName,
        partition: u32,
        range: Range<Offset>,
        max: u32,
    ) -> Result<LettersPage, Error> {
        let dlq = self.dlq(name, partition)?;
        let parts = self.parts();
        let end = parts.log.end_offset(dlq.partition);
        let to = range.end.min(end);
        let max = usize::try_from(max).unwrap_or(usize::MAX).min(LETTERS_PAGE_MAX);
        let mut next = range.start.max(parts.log.start_offset(dlq.partition));
        let (mut page, mut bytes) = (LettersPage::default(), 0);
        while next < to && page.letters.len() < max && bytes < SCAN_BYTES_MAX {
            let batches = match parts.read(dlq.partition, next, READ_BYTES_MAX).await {
                Ok(batches) => batches,
                // What can't be read is no letter that anybody could deal with.
                Err(Error::CorruptRange(range)) => {
                    next = range.to;
                    continue;
                }
                // Retention was faster.
                Err(Error::OffsetOutOfRange { start, .. }) if start > next => {
                    next = start;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if batches.is_empty() {
                next = to;
            }
            for stored in batches {
                bytes += stored.bytes();
                next = dlq.summaries(parts, &stored, next..to, max, &mut page.letters);
                if next < stored.envelope.end_offset() {
                    break;
                }
            }
        }
        page.next = (next < to).then_some(next);
        Ok(page)
    }

    /// How many open dead letters there are, of all deployments.
    pub(crate) fn open_dead_letters(&self) -> u64 {
        let (parts, catalog) = (self.parts(), self.parts().views.catalog());
        let consumers = catalog.deployments().filter(|(_, it)| it.world == World::Consumer);
        let of = |name| catalog.active_version(name).map(|version| &version.settings.dlq);
        let mut topics: Vec<&TopicName> = consumers.filter_map(|(name, _)| of(name)).collect();
        topics.sort_unstable();
        topics.dedup();
        let partitions = topics.into_iter().filter_map(|name| catalog.topic(name));
        let partitions = partitions.flat_map(|topic| topic.partition_ids());
        let open = partitions.map(|id| {
            let (start, end) = (parts.log.start_offset(id), parts.log.end_offset(id));
            let readable = parts.log.outside_losses(id, start..end).into_iter();
            let letters = parts.views.letters();
            let open = readable.map(|it| {
                let marked = letters.marked(id, it.start, it.end);
                it.start.distance_to(it.end).saturating_sub(marked)
            });
            open.sum::<u64>()
        });
        open.sum()
    }
}

impl Dlq {
    /// Adds the letters of a batch that lie in a range, up to `max`; returns where to go on.
    fn summaries(
        &self,
        parts: &Parts,
        stored: &StoredBatch,
        range: Range<Offset>,
        max: usize,
        into: &mut Vec<LetterSummary>,
    ) -> Offset {
        let end = stored.envelope.end_offset();
        // One that nobody can open has no letters that anybody could deal with.
        let Ok(records) = stored.batch.decompressed(BATCH_BYTES_MAX) else { return end };
        for (delta, record) in records.to_records() {
            let offset = RecordBatch::offset_at(stored.envelope.base_offset, delta);
            if !range.contains(&offset) {
                continue;
            }
            if into.len() >= max {
                return offset;
            }
            let Some(death) = self.death(&record) else { continue };
            let status =
                parts.views.letters().status(RecordPlace { partition: self.partition, offset });
            into.push(LetterSummary { offset, status, reason: death.reason, source: death.source });
        }
        end
    }
}
