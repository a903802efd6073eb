//! What the engine can't be sure of while records of internal topics are lost.
//!
//! Nothing may run twice or be skipped in silence. So a lane whose newest cursor may be lost stands
//! still, and so does everything that is deployed when a change of the catalog may be lost; until
//! somebody accepts the loss; and no dead letter is dealt with while it may have been before. Producing to the topics that are known goes on. What `_segments` may
//! have lost says nothing of deployments: it only keeps files from being dropped.

use std::collections::{BTreeMap, BTreeSet};

use logmill_model::{
    CATALOG_LOSS, CATALOG_PRICE, DeploymentName, LaneId, Offset, PartitionId, TopicName,
};

use crate::corrupt::ADVICE;
use crate::{CorruptRange, Error};

/// Who stands still, and why.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    everything: Option<String>,
    lanes: BTreeSet<LaneId>,
    why_lanes: String,
    letters: Option<String>,
    are_records_lost: bool,
}

/// Where internal topics can't be read.
#[derive(Debug, Default)]
pub(crate) struct LostRecords {
    /// The first loss of each topic, for a person; and the end of its last one.
    by_topic: BTreeMap<PartitionId, (String, Offset)>,
}

impl LostRecords {
    /// What lies before the end of `lost` could not be read.
    pub(crate) fn add(&mut self, partition: PartitionId, lost: &CorruptRange) {
        let to = lost.to;
        let first = || (why(partition, lost), to);
        let (_, end) = self.by_topic.entry(partition).or_insert_with(first);
        *end = to.max(*end);
    }

    /// Whether any of this topic is lost.
    pub(crate) fn is_of(&self, partition: PartitionId) -> bool {
        self.by_topic.contains_key(&partition)
    }

    /// Why what is in this topic may not be all, for a person.
    pub(crate) fn why(&self, partition: PartitionId) -> Option<&str> {
        self.by_topic.get(&partition).map(|(why, _)| why.as_str())
    }

    /// Where the last loss of this topic ends.
    pub(crate) fn end(&self, partition: PartitionId) -> Offset {
        self.by_topic.get(&partition).map_or(Offset::ZERO, |(_, end)| *end)
    }

    /// Who stands still for it; `cursors` says where the newest record of each lane lies. `doubtful`
    /// are lanes that do, wherever that is, when any cursor is lost.
    pub(crate) fn suspects(
        mut self,
        cursors: &BTreeMap<LaneId, Offset>,
        doubtful: BTreeSet<LaneId>,
    ) -> Suspects {
        let lost_cursors = self.by_topic.remove(&PartitionId::CURSORS);
        let everything = self.by_topic.remove(&PartitionId::CATALOG).map(|(why, _)| why);
        let letters = self.by_topic.remove(&PartitionId::LETTERS).map(|(why, _)| why);
        let are_records_lost = lost_cursors.is_some() || everything.is_some() || letters.is_some();
        let (why, end) = lost_cursors.unwrap_or_default();
        let why_lanes = format!(
            "{why}; the lane then goes on from its last known cursor, and handles again what came after"
        );
        let is_before = |(_, at): &(&LaneId, &Offset)| **at < end;
        let mut lanes = if end > Offset::ZERO { doubtful } else { BTreeSet::new() };
        lanes.extend(cursors.iter().filter(is_before).map(|(lane, _)| *lane));
        Suspects { everything, lanes, why_lanes, letters, are_records_lost }
    }
}

impl Suspects {
    /// Why nothing that is deployed may run, and the catalog may not change.
    pub(crate) fn everything(&self) -> Option<&str> {
        self.everything.as_deref()
    }

    /// What is told of a topic that is not there: it may have been.
    pub(crate) fn no_topic(&self, name: &TopicName) -> Error {
        self.unsure("topic", name).unwrap_or_else(|| Error::UnknownTopic(name.clone()))
    }

    /// What is told of a deployment that is not there: it may have been.
    pub(crate) fn no_deployment(&self, name: &DeploymentName) -> Error {
        self.unsure("deployment", name).unwrap_or_else(|| Error::UnknownDeployment(name.clone()))
    }

    fn unsure(&self, kind: &str, name: &dyn std::fmt::Display) -> Option<Error> {
        self.everything.as_ref()?;
        Some(Error::StandsStill(format!(
            "whether {kind} {name} exists is not known, since the catalog is corrupt; `logmill status` says where, and what can be done"
        )))
    }

    /// Why no dead letter may be redriven, edited or purged: it may have been before.
    pub(crate) fn letters(&self) -> Option<&str> {
        self.letters.as_deref()
    }

    /// Whether the catalog and the cursors may not be all that they were.
    pub(crate) fn are_records_lost(&self) -> bool {
        self.are_records_lost
    }

    /// Why a lane may not run.
    pub(crate) fn lane(&self, lane: LaneId) -> Option<&str> {
        self.lanes.contains(&lane).then_some(self.why_lanes.as_str())
    }
}

/// Why what rests on records of this topic stands still, for a person.
fn why(partition: PartitionId, lost: &CorruptRange) -> String {
    if partition != PartitionId::CATALOG {
        return format!("corrupt: {lost}; {ADVICE}");
    }
    format!(
        "corrupt: {lost}: {CATALOG_LOSS}; restore the data directory from a backup, or bring the file back as it was; `logmill inspect repair --accept-loss` {CATALOG_PRICE}"
    )
}

#[cfg(test)]
mod tests {
    use logmill_model::{DeploymentId, TopicId};

    use super::*;

    fn lane(index: u32) -> LaneId {
        LaneId { deployment: DeploymentId(7), source: PartitionId::new(TopicId(17), index) }
    }

    fn lost(partition: PartitionId, to: u64) -> LostRecords {
        let range = CorruptRange {
            topic: partition.topic.to_string(),
            partition: partition.index,
            from: Offset(3),
            to: Offset(to),
            path: "journal/a.journal".to_owned(),
            position: 4096,
        };
        let mut lost = LostRecords::default();
        lost.add(partition, &range);
        lost
    }

    #[test]
    fn only_lanes_with_a_cursor_behind_the_loss_go_on() {
        let cursors = BTreeMap::from([(lane(0), Offset(4)), (lane(1), Offset(5))]);
        let doubtful = BTreeSet::from([lane(2)]);
        let suspects = lost(PartitionId::CURSORS, 5).suspects(&cursors, doubtful.clone());
        for stands in [0, 2] {
            assert!(suspects.lane(lane(stands)).unwrap().starts_with("corrupt: _cursors/0 is"));
        }
        assert_eq!((suspects.lane(lane(1)), suspects.everything()), (None, None));
        assert!(suspects.are_records_lost());
        let suspects = LostRecords::default().suspects(&cursors, doubtful);
        assert_eq!((suspects.lane(lane(2)), suspects.are_records_lost()), (None, false));
    }

    #[test]
    fn a_loss_in_the_catalog_stops_everything_that_is_deployed() {
        let suspects = lost(PartitionId::CATALOG, 5).suspects(&BTreeMap::new(), BTreeSet::new());
        let why = suspects.everything().unwrap();
        let says =
            ["journal/a.journal", "may be missing as a whole", "repair", "gives up all topics"];
        assert!(says.iter().all(|it| why.contains(it)), "{why}");
        let (topic, deployment) = ("t".parse().unwrap(), "d".parse().unwrap());
        for error in [suspects.no_topic(&topic), suspects.no_deployment(&deployment)] {
            let says = error.to_string();
            assert!(says.ends_with("`logmill status` says where, and what can be done"), "{says}");
        }
        let suspects = lost(PartitionId::SEGMENTS, 5).suspects(&BTreeMap::new(), BTreeSet::new());
        assert_eq!((suspects.everything(), suspects.letters()), (None, None));
        assert!(matches!(suspects.no_topic(&topic), Error::UnknownTopic(_)));
        assert!(matches!(suspects.no_deployment(&deployment), Error::UnknownDeployment(_)));
    }

    #[test]
    fn a_loss_in_the_letters_keeps_them_as_they_are_and_stops_nothing() {
        let suspects = lost(PartitionId::LETTERS, 5).suspects(&BTreeMap::new(), BTreeSet::new());
        assert!(suspects.letters().unwrap().contains("repair"));
        assert_eq!(suspects.everything(), None);
    }
}
