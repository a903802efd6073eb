//! Whose dead letters are asked for, and reading those that a request names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use logmill_log::StoredBatch;
use logmill_model::internal::{DeploymentRecord, VersionRecord};
use logmill_model::limits::{BATCH_BYTES_MAX, LETTERS_MAX};
use logmill_model::{
    DeadLetter, DeploymentName, Offset, PartitionId, Record, RecordBatch, TopicName, World,
};

use crate::parts::Parts;
use crate::{Engine, Error};

/// The dead letters of a consumer, in one partition of their topic. Others may lie there as well.
pub(super) struct Dlq {
    pub(super) name: DeploymentName,
    pub(super) deployment: Arc<DeploymentRecord>,
    pub(super) version: Arc<VersionRecord>,
    pub(super) topic: TopicName,
    pub(super) partition: PartitionId,
}

/// A dead letter as it lies there.
pub(super) struct Letter {
    pub(super) record: Record,
    pub(super) death: DeadLetter,
    /// How many modules the record has come through.
    pub(super) hops: u8,
}

/// What is found where a dead letter is looked for.
pub(super) enum Found<T> {
    Letter(T),
    /// Nothing, or something else.
    Other,
    Unreadable(String),
}

impl Engine {
    /// A partition of a consumer's dead-letter topic.
    pub(super) fn dlq(&self, name: &DeploymentName, partition: u32) -> Result<Dlq, Error> {
        let catalog = self.parts().views.catalog();
        let unknown = || self.parts().suspects.no_deployment(name);
        let deployment = catalog.deployment(name).cloned().ok_or_else(unknown)?;
        let version = catalog.active_version(name).cloned().ok_or_else(unknown)?;
        if deployment.world != World::Consumer {
            let world = deployment.world.as_str();
            let what = format!("deployment {name} is a {world}, and only consumers have some");
            return Err(Error::LettersRefused(what));
        }
        let topic = version.settings.dlq.clone();
        let partition = self.parts().partition(&topic, partition)?;
        Ok(Dlq { name: name.clone(), deployment, version, topic, partition })
    }

    /// The same, for who changes what has become of letters.
    pub(super) fn dlq_to_change(
        &self,
        name: &DeploymentName,
        partition: u32,
    ) -> Result<Dlq, Error> {
        let suspects = &self.parts().suspects;
        if let Some(why) = suspects.everything().or_else(|| suspects.letters()) {
            return Err(Error::StandsStill(why.to_owned()));
        }
        self.dlq(name, partition)
    }
}

/// The offsets of a request, in order.
pub(super) fn wanted(offsets: &[Offset]) -> Result<BTreeSet<Offset>, Error> {
    if offsets.len() > LETTERS_MAX {
        let what = format!("{} at once, at most {LETTERS_MAX} are allowed", offsets.len());
        return Err(Error::LettersRefused(what));
    }
    Ok(offsets.iter().copied().collect())
}

impl Dlq {
    /// How a record died, if it is one of these letters.
    pub(super) fn death(&self, record: &Record) -> Option<DeadLetter> {
        DeadLetter::of(record).filter(|death| death.deployment == self.name.as_str())
    }

    /// Reads the letters at these offsets and keeps something of each: they may be large.
    pub(super) async fn find<T>(
        &self,
        parts: &Parts,
        mut wanted: BTreeSet<Offset>,
        keep: impl Fn(Letter) -> T,
    ) -> Result<BTreeMap<Offset, Found<T>>, Error> {
        let mut found = BTreeMap::new();
        while let Some(offset) = wanted.pop_first() {
            let stored = match parts.read(self.partition, offset, 1).await {
                Ok(batches) => batches.into_iter().next(),
                Err(Error::OffsetOutOfRange { .. }) => None,
                Err(error) => {
                    let what = error.corrupt().map(ToString::to_string).ok_or(error)?;
                    found.insert(offset, Found::Unreadable(what));
                    continue;
                }
            };
            found.insert(offset, Found::Other);
            let Some(stored) = stored else { continue };
            let later = wanted.split_off(&stored.envelope.end_offset());
            let mut here = std::mem::replace(&mut wanted, later);
            here.insert(offset);
            self.open(&stored, here, &keep, &mut found);
        }
        Ok(found)
    }

    /// Keeps something of each of these letters of a batch.
    fn open<T>(
        &self,
        stored: &StoredBatch,
        wanted: BTreeSet<Offset>,
        keep: &impl Fn(Letter) -> T,
        found: &mut BTreeMap<Offset, Found<T>>,
    ) {
        let records = match stored.batch.decompressed(BATCH_BYTES_MAX) {
            Ok(records) => records,
            Err(error) => {
                let unreadable = |offset| (offset, Found::Unreadable(error.to_string()));
                return found.extend(wanted.into_iter().map(unreadable));
            }
        };
        found.extend(wanted.iter().map(|offset| (*offset, Found::Other)));
        for (delta, record) in records.to_records() {
            let offset = RecordBatch::offset_at(stored.envelope.base_offset, delta);
            if wanted.contains(&offset)
                && let Some(death) = self.death(&record)
            {
                let letter = Letter { record, death, hops: stored.envelope.hops };
                found.insert(offset, Found::Letter(keep(letter)));
            }
        }
    }
}
