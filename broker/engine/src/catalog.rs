//! Which topics and deployments exist: a fold over the records of `_catalog`, nothing else.
//!
//! The sequencer holds one that is ahead (all that was sequenced), readers hold one that is durable.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use logmill_model::internal::{CatalogRecord, DeploymentRecord, TopicRecord, VersionRecord};
use logmill_model::{
    DeploymentId, DeploymentName, LaneId, Offset, PartitionId, TopicId, TopicName, World,
};

use crate::{CorruptRange, Error};

/// Topics and deployments as of some commit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalog {
    topics: BTreeMap<TopicName, Arc<TopicRecord>>,
    names: HashMap<TopicId, TopicName>,
    /// The topics whose partitions take no more at so many bytes.
    full_at_bytes: HashMap<TopicId, u64>,
    /// The topics that store a record of each idempotency key once in so many ms.
    dedupe_windows_ms: HashMap<TopicId, u64>,
    deployments: BTreeMap<DeploymentName, Arc<DeploymentRecord>>,
    versions: BTreeMap<(DeploymentName, u32), Arc<VersionRecord>>,
    /// The end of `_catalog` that this is the fold of: what a change must be conditional on.
    end: Offset,
}

/// What a catalog record changed about partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PartitionChange {
    /// These came to be.
    Created(Vec<PartitionId>),
    /// These are gone.
    Deleted(Vec<PartitionId>),
}

impl Catalog {
    /// Takes in one record.
    pub(crate) fn apply(&mut self, record: &CatalogRecord) -> Option<PartitionChange> {
        match record {
            CatalogRecord::Topic(name, Some(topic)) => {
                self.names.insert(topic.id, name.clone());
                match topic.policy.full_at_bytes() {
                    Some(bytes) => self.full_at_bytes.insert(topic.id, bytes),
                    None => self.full_at_bytes.remove(&topic.id),
                };
                match topic.policy.dedupe_window_ms {
                    Some(window) => self.dedupe_windows_ms.insert(topic.id, window),
                    None => self.dedupe_windows_ms.remove(&topic.id),
                };
                let old = self.topics.insert(name.clone(), Arc::new(topic.clone()));
                match old {
                    Some(old) if old.id == topic.id => None,
                    _ => Some(PartitionChange::Created(topic.partition_ids().collect())),
                }
            }
            CatalogRecord::Topic(name, None) => {
                let topic = self.topics.remove(name)?;
                self.names.remove(&topic.id);
                self.full_at_bytes.remove(&topic.id);
                self.dedupe_windows_ms.remove(&topic.id);
                Some(PartitionChange::Deleted(topic.partition_ids().collect()))
            }
            CatalogRecord::Deployment(name, deployment) => {
                let old = match deployment {
                    Some(it) => self.deployments.insert(name.clone(), Arc::new(it.clone())),
                    None => self.deployments.remove(name),
                };
                match (old, deployment) {
                    (Some(old), Some(it)) if old.id == it.id => None,
                    (_, Some(it)) => Some(PartitionChange::Created(it.partition_ids().collect())),
                    (Some(old), None) => {
                        Some(PartitionChange::Deleted(old.partition_ids().collect()))
                    }
                    (None, None) => None,
                }
            }
            CatalogRecord::Version(name, number, version) => {
                let key = (name.clone(), *number);
                match version {
                    Some(it) => self.versions.insert(key, Arc::new(it.clone())),
                    None => self.versions.remove(&key),
                };
                None
            }
        }
    }

    /// The records that this is the fold of, without those that later ones have replaced.
    pub(crate) fn records(&self) -> impl Iterator<Item = CatalogRecord> {
        let topics = self
            .topics
            .iter()
            .map(|(name, it)| CatalogRecord::Topic(name.clone(), Some((**it).clone())));
        let deployments = self
            .deployments
            .iter()
            .map(|(name, it)| CatalogRecord::Deployment(name.clone(), Some((**it).clone())));
        let versions = self.versions.iter().map(|((name, number), it)| {
            CatalogRecord::Version(name.clone(), *number, Some((**it).clone()))
        });
        topics.chain(deployments).chain(versions)
    }

    /// The end of `_catalog` that this catalog stands at.
    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    pub(crate) fn set_end(&mut self, end: Offset) {
        self.end = end;
    }

    pub(crate) fn topic(&self, name: &TopicName) -> Option<&Arc<TopicRecord>> {
        self.topics.get(name)
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = (&TopicName, &Arc<TopicRecord>)> {
        self.topics.iter()
    }

    /// All partitions that there are besides those of internal topics that always are.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = PartitionId> {
        let of_topics = self.topics.values().flat_map(|it| it.partition_ids());
        of_topics.chain(self.deployments.values().flat_map(|it| it.partition_ids()))
    }

    pub(crate) fn topic_name(&self, id: TopicId) -> Option<&TopicName> {
        self.names.get(&id)
    }

    /// How people call a topic: by its name, or else by its id.
    pub(crate) fn shown_topic(&self, id: TopicId) -> String {
        self.topic_name(id).map_or_else(|| id.to_string(), ToString::to_string)
    }

    /// A failure to read in the words of who knows topics by name.
    pub(crate) fn unread(&self, error: logmill_log::Error) -> Error {
        let name = |topic| self.shown_topic(topic);
        CorruptRange::of(error, name).map_or_else(Error::from, Error::CorruptRange)
    }

    /// The bytes at which a topic's partitions take no more; None when they always do.
    pub(crate) fn full_at_bytes(&self, id: TopicId) -> Option<u64> {
        self.full_at_bytes.get(&id).copied()
    }

    /// How long a topic stores only one record of an idempotency key; None when keys say nothing.
    pub(crate) fn dedupe_window_ms(&self, id: TopicId) -> Option<u64> {
        self.dedupe_windows_ms.get(&id).copied()
    }

    /// Whether only the last value of each key of a topic is kept.
    pub(crate) fn is_compacted(&self, id: TopicId) -> bool {
        if id.is_internal() {
            // A claim is over when its time is.
            return !matches!(id, TopicId::CLAIMS | TopicId::DECISIONS);
        }
        let topic = self.topic_name(id).and_then(|name| self.topic(name));
        topic.is_some_and(|topic| topic.policy.compact)
    }

    pub(crate) fn deployment(&self, name: &DeploymentName) -> Option<&Arc<DeploymentRecord>> {
        self.deployments.get(name)
    }

    pub(crate) fn deployments(
        &self,
    ) -> impl Iterator<Item = (&DeploymentName, &Arc<DeploymentRecord>)> {
        self.deployments.iter()
    }

    pub(crate) fn version(
        &self,
        name: &DeploymentName,
        number: u32,
    ) -> Option<&Arc<VersionRecord>> {
        self.versions.get(&(name.clone(), number))
    }

    /// The numbers of a deployment's versions, rising.
    pub(crate) fn version_numbers(&self, name: &DeploymentName) -> Vec<u32> {
        let range = (name.clone(), 0)..=(name.clone(), u32::MAX);
        self.versions.range(range).map(|((_, number), _)| *number).collect()
    }

    /// The version of a deployment that is active.
    pub(crate) fn active_version(&self, name: &DeploymentName) -> Option<&Arc<VersionRecord>> {
        self.version(name, self.deployment(name)?.active_version)
    }

    /// The deployments whose active version reads from, writes to or buries in a topic.
    pub(crate) fn users_of(&self, topic: &TopicName) -> Vec<&DeploymentName> {
        self.deployments
            .keys()
            .filter(|name| {
                self.active_version(name).is_some_and(|version| {
                    let settings = &version.settings;
                    settings.on.contains(topic)
                        || settings.out.iter().any(|grant| grant.topic == *topic)
                        || (settings.world == World::Consumer && settings.dlq == *topic)
                })
            })
            .collect()
    }

    /// The lanes of a deployment on these topics, those that exist.
    pub(crate) fn lanes(&self, deployment: DeploymentId, on: &[TopicName]) -> Vec<LaneId> {
        on.iter()
            .filter_map(|name| self.topic(name))
            .flat_map(|topic| topic.partition_ids())
            .map(|source| LaneId { deployment, source })
            .collect()
    }
}
