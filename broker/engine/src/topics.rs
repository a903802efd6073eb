//! Creating, altering, deleting and describing topics.

use std::sync::Arc;

use logmill_model::internal::{CatalogRecord, SegmentsRecord, TopicRecord};
use logmill_model::{
    CommitClass, DeploymentName, Offset, PartitionDescription, PartitionId, PolicyChange,
    TopicDescription, TopicId, TopicName, TopicPolicy, limits,
};

use crate::catalog::Catalog;
use crate::parts::{CatalogChange, Parts};
use crate::{Engine, Error};

impl Engine {
    /// Creates a topic. It is there, durably, when this returns.
    ///
    /// # Errors
    /// [`Error::TopicExists`], [`Error::PartitionCount`]; [`Error::Invalid`] for a policy whose
    /// parts do not go together.
    pub async fn create_topic(
        &self,
        name: &TopicName,
        partitions: u32,
        policy: TopicPolicy,
    ) -> Result<TopicDescription, Error> {
        let policy = policy.check()?;
        if !(1..=limits::PARTITIONS_MAX).contains(&partitions) {
            return Err(Error::PartitionCount { asked: partitions });
        }
        self.parts()
            .change_catalog(|catalog| {
                if catalog.topic(name).is_some() {
                    return Err(Error::TopicExists(name.clone()));
                }
                let mut change = CatalogChange::default();
                change.create_topic(catalog, name, partitions, policy);
                Ok((change, ()))
            })
            .await?;
        self.topic(name)
    }

    /// Changes the policy of a topic, durably; what the change does not name stays.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`]; [`Error::Invalid`] when the parts would not go together.
    pub async fn alter_topic(
        &self,
        name: &TopicName,
        asked: &PolicyChange,
    ) -> Result<TopicDescription, Error> {
        self.parts()
            .change_catalog(|catalog| {
                let topic = catalog.topic(name).ok_or_else(|| Error::UnknownTopic(name.clone()))?;
                let policy = topic.policy.changed(asked)?;
                // Shorter retention is how space is won.
                let class = CommitClass::Housekeeping;
                let mut change = CatalogChange { class, ..CatalogChange::default() };
                if policy != topic.policy {
                    let topic = TopicRecord { policy, ..(**topic).clone() };
                    change.catalog.push(CatalogRecord::Topic(name.clone(), Some(topic)));
                }
                Ok((change, ()))
            })
            .await?;
        self.parts().policies.send_replace(());
        self.topic(name)
    }

    /// Deletes a topic and its records.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`]; [`Error::TopicInUse`] while a deployment reads from or writes to it.
    pub async fn delete_topic(&self, name: &TopicName) -> Result<(), Error> {
        self.parts()
            .change_catalog(|catalog| {
                let topic = catalog.topic(name).ok_or_else(|| Error::UnknownTopic(name.clone()))?;
                if let Some(user) = catalog.users_of(name).first() {
                    let deployment = DeploymentName::clone(user);
                    return Err(Error::TopicInUse { topic: name.clone(), deployment });
                }
                let segments = self.parts().starts_of(topic.partition_ids());
                let catalog = vec![CatalogRecord::Topic(name.clone(), None)];
                let class = CommitClass::Housekeeping;
                Ok((CatalogChange { catalog, segments, class, ..CatalogChange::default() }, ()))
            })
            .await
    }

    /// The users' topics, by name.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicDescription> {
        let catalog = self.parts().views.catalog();
        catalog.topics().map(|(name, topic)| self.parts().describe(name, topic)).collect()
    }

    /// One topic.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`].
    pub fn topic(&self, name: &TopicName) -> Result<TopicDescription, Error> {
        let topic = self.parts().topic(name)?;
        Ok(self.parts().describe(name, &topic))
    }

    /// One topic, which is created with one partition if it is missing and the broker makes
    /// topics on demand.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`].
    pub async fn open_topic(&self, name: &TopicName) -> Result<TopicDescription, Error> {
        match self.topic(name) {
            Err(Error::UnknownTopic(_)) if self.options().topics_on_demand => {
                match self.create_topic(name, 1, TopicPolicy::default()).await {
                    Err(Error::TopicExists(_)) => self.topic(name),
                    created => created,
                }
            }
            found => found,
        }
    }
}

impl Parts {
    pub(crate) fn topic(&self, name: &TopicName) -> Result<Arc<TopicRecord>, Error> {
        let topic = self.views.catalog().topic(name).cloned();
        topic.ok_or_else(|| self.suspects.no_topic(name))
    }

    /// One partition of a topic, checked to exist.
    pub(crate) fn partition(&self, name: &TopicName, index: u32) -> Result<PartitionId, Error> {
        let topic = self.topic(name)?;
        if index >= topic.partitions {
            return Err(Error::UnknownPartition {
                topic: name.clone(),
                partition: index,
                partitions: topic.partitions,
            });
        }
        Ok(PartitionId::new(topic.id, index))
    }

    /// The records that end what retention has said of these partitions.
    pub(crate) fn starts_of(
        &self,
        partitions: impl Iterator<Item = PartitionId>,
    ) -> Vec<SegmentsRecord> {
        partitions
            .filter(|partition| self.log.start_offset(*partition) > Offset::ZERO)
            .map(|partition| SegmentsRecord::Start(partition, None))
            .collect()
    }

    fn describe(&self, name: &TopicName, topic: &TopicRecord) -> TopicDescription {
        let partitions = (0..topic.partitions).map(|partition| {
            let id = PartitionId::new(topic.id, partition);
            let (start, end) = (self.log.start_offset(id), self.log.end_offset(id));
            let records = self.log.count_outside_losses(id, start..end);
            PartitionDescription {
                partition,
                start,
                end,
                bytes: self.log.partition_bytes(id),
                lost: start.distance_to(end) - records,
            }
        });
        TopicDescription {
            name: name.clone(),
            created_ts: topic.created_ts,
            policy: topic.policy,
            partitions: partitions.collect(),
        }
    }
}

impl CatalogChange {
    /// Adds a new topic. Its id follows from the place that its record will have in the catalog.
    pub(crate) fn create_topic(
        &mut self,
        catalog: &Catalog,
        name: &TopicName,
        partitions: u32,
        policy: TopicPolicy,
    ) {
        let id = TopicId(TopicId::FIRST_USER + self.next_place(catalog));
        let created_ts = crate::clock::now();
        let topic = TopicRecord { id, partitions, created_ts, policy };
        self.catalog.push(CatalogRecord::Topic(name.clone(), Some(topic)));
    }

    /// The offset that the next record of this change will have in `_catalog`.
    pub(crate) fn next_place(&self, catalog: &Catalog) -> u64 {
        catalog.end().0 + self.catalog.len() as u64
    }
}
