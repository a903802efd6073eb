//! `_catalog`: which topics and deployments exist.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{decode, encode};
use crate::{
    DeploymentId, DeploymentName, DeploymentSettings, DeploymentState, Error, ModuleDigest,
    ModuleLimits, PartitionId, Record, Timestamp, TopicId, TopicName, TopicPolicy, World,
};

const TOPIC: u8 = 1;
const DEPLOYMENT: u8 = 2;
const DEPLOYMENT_VERSION: u8 = 3;

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicRecord {
    /// Its id.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: u32,
    /// When it was created.
    pub created_ts: Timestamp,
    /// How long its records stay. A topic of before there were policies has the default.
    #[serde(default, skip_serializing_if = "TopicPolicy::is_default")]
    pub policy: TopicPolicy,
}

impl TopicRecord {
    /// Its partitions.
    pub fn partition_ids(&self) -> impl Iterator<Item = PartitionId> + use<> {
        let (id, partitions) = (self.id, self.partitions);
        (0..partitions).map(move |index| PartitionId::new(id, index))
    }
}

/// A deployment, as it stands now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentRecord {
    /// Its id.
    pub id: DeploymentId,
    /// What its module is used as.
    pub world: World,
    /// The version that is active.
    pub active_version: u32,
    /// Whether it works.
    pub state: DeploymentState,
    /// The limits on its instances, which may change without a new version.
    pub limits: ModuleLimits,
}

impl DeploymentRecord {
    /// The partitions of internal topics that are its own: there are some for each consumer.
    pub fn partition_ids(&self) -> impl Iterator<Item = PartitionId> + use<> {
        let partitions = [PartitionId::claims_of, PartitionId::state_of, PartitionId::decisions_of]
            .map(|of| of(self.id));
        let has_some = self.world == World::Consumer;
        partitions.into_iter().flatten().filter(move |_| has_some)
    }
}

/// One version of a deployment. Immutable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// The module.
    pub digest: ModuleDigest,
    /// How it is used.
    pub settings: DeploymentSettings,
    /// When it was deployed.
    pub created_ts: Timestamp,
}

/// What a record of `_catalog` is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CatalogKey {
    /// A topic.
    Topic(TopicName),
    /// A deployment.
    Deployment(DeploymentName),
    /// One version of a deployment.
    Version(DeploymentName, u32),
}

/// A record of `_catalog`: what its key has become; None when it was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogRecord {
    /// A topic.
    Topic(TopicName, Option<TopicRecord>),
    /// A deployment.
    Deployment(DeploymentName, Option<DeploymentRecord>),
    /// One version of a deployment.
    Version(DeploymentName, u32, Option<VersionRecord>),
}

impl CatalogKey {
    fn encode(&self) -> String {
        match self {
            Self::Topic(name) => format!("topic/{name}"),
            Self::Deployment(name) => format!("deployment/{name}"),
            Self::Version(name, version) => format!("version/{name}/{version}"),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = std::str::from_utf8(bytes).ok()?.split_once('/')?;
        match kind {
            "topic" => Some(Self::Topic(rest.parse().ok()?)),
            "deployment" => Some(Self::Deployment(rest.parse().ok()?)),
            "version" => {
                let (name, version) = rest.split_once('/')?;
                Some(Self::Version(name.parse().ok()?, version.parse().ok()?))
            }
            _ => None,
        }
    }
}

impl CatalogRecord {
    /// What the record is about.
    #[must_use]
    pub fn key(&self) -> CatalogKey {
        match self {
            Self::Topic(name, _) => CatalogKey::Topic(name.clone()),
            Self::Deployment(name, _) => CatalogKey::Deployment(name.clone()),
            Self::Version(name, version, _) => CatalogKey::Version(name.clone(), *version),
        }
    }

    /// The record as it is appended.
    #[must_use]
    pub fn encode(&self) -> Record {
        let value = match self {
            Self::Topic(_, topic) => topic.as_ref().map(|value| encode(TOPIC, value)),
            Self::Deployment(_, it) => it.as_ref().map(|value| encode(DEPLOYMENT, value)),
            Self::Version(_, _, it) => it.as_ref().map(|value| encode(DEPLOYMENT_VERSION, value)),
        };
        Record { key: Some(Bytes::from(self.key().encode())), value, ..Record::default() }
    }

    /// Reads a record of `_catalog`.
    ///
    /// # Errors
    /// [`Error::Layout`].
    pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, Error> {
        let key = key.and_then(CatalogKey::decode).ok_or_else(|| Error::Layout {
            noun: "catalog record",
            what: "its key is none of a topic, a deployment or a version".to_owned(),
        })?;
        Ok(match key {
            CatalogKey::Topic(name) => {
                Self::Topic(name, value.map(|v| decode("topic", TOPIC, v)).transpose()?)
            }
            CatalogKey::Deployment(name) => Self::Deployment(
                name,
                value.map(|v| decode("deployment", DEPLOYMENT, v)).transpose()?,
            ),
            CatalogKey::Version(name, version) => {
                let value = value.map(|v| decode("version", DEPLOYMENT_VERSION, v)).transpose()?;
                Self::Version(name, version, value)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Backoff, Idempotency, OnFull, Position, Unrouted};

    fn round_trip(record: &CatalogRecord) -> Record {
        let encoded = record.encode();
        let read = CatalogRecord::decode(encoded.key.as_deref(), encoded.value.as_deref());
        assert_eq!(read.as_ref(), Ok(record));
        encoded
    }

    #[test]
    fn a_topic_has_golden_bytes() {
        let policy = TopicPolicy::default();
        let topic =
            TopicRecord { id: TopicId(16), partitions: 3, created_ts: Timestamp(1), policy };
        let record = CatalogRecord::Topic("a.b".parse().unwrap(), Some(topic.clone()));
        let record = round_trip(&record);
        assert_eq!(record.key.as_deref(), Some(&b"topic/a.b"[..]));
        assert_eq!(
            record.value.as_deref(),
            Some(&b"\x01\x01\xa3\x62id\x10\x6apartitions\x03\x6acreated_ts\x01"[..])
        );
        round_trip(&CatalogRecord::Topic("a.b".parse().unwrap(), None));
        let policy = TopicPolicy {
            retention_time_ms: Some(1000),
            retention_bytes: None,
            compact: true,
            on_full: OnFull::Reject,
            dedupe_window_ms: None,
        };
        let topic = TopicRecord { policy, ..topic };
        let record = round_trip(&CatalogRecord::Topic("a.b".parse().unwrap(), Some(topic)));
        assert_eq!(
            record.value.as_deref(),
            Some(
                &b"\x01\x01\xa4\x62id\x10\x6apartitions\x03\x6acreated_ts\x01\x66policy\xa4\
                   \x71retention_time_ms\x19\x03\xe8\x6fretention_bytes\xf6\x67compact\xf5\
                   \x67on_full\x66reject"[..]
            )
        );
    }

    #[test]
    fn deployments_and_versions_come_back() {
        let name: DeploymentName = "triage".parse().unwrap();
        let deployment = DeploymentRecord {
            id: DeploymentId(4),
            world: World::Consumer,
            active_version: 2,
            state: DeploymentState::Paused { reason: "by hand".into() },
            limits: ModuleLimits::default(),
        };
        round_trip(&CatalogRecord::Deployment(name.clone(), Some(deployment)));
        let version = VersionRecord {
            digest: ModuleDigest([7; 32]),
            settings: DeploymentSettings {
                world: World::Consumer,
                on: vec!["in".parse().unwrap()],
                out: vec![],
                config: vec![("team".into(), "core".into())],
                from: Position::Earliest,
                max_attempts: 5,
                order: crate::Order::Key,
                max_parked: 7,
                backoff: Backoff::default(),
                dlq: name.dead_letter_topic(),
                idempotency: Idempotency::Header("delivery".into()),
                idempotency_window_ms: 60_000,
                unrouted: Unrouted::Keep,
            },
            created_ts: Timestamp(9),
        };
        round_trip(&CatalogRecord::Version(name, 2, Some(version)));
    }

    #[test]
    fn a_version_of_before_there_was_idempotency_is_read() {
        let value = b"\x03\x01\xa3\x66digest\x78\x40\
            0707070707070707070707070707070707070707070707070707070707070707\
            \x68settings\xa9\x65world\x68consumer\x62on\x81\x62in\x63out\x80\x66config\x80\
            \x64from\x66latest\x6cmax_attempts\x05\x67backoff\x68fixed:1s\x63dlq\x61d\
            \x68unrouted\x64keep\x6acreated_ts\x09";
        let read = CatalogRecord::decode(Some(b"version/a/1"), Some(value)).unwrap();
        let CatalogRecord::Version(_, 1, Some(version)) = read else { unreachable!() };
        assert_eq!(version.settings.idempotency, Idempotency::None);
        assert_eq!(version.settings.idempotency_window_ms, 24 * 3_600_000);
    }

    #[test]
    fn records_of_another_kind_or_a_newer_version_are_refused() {
        let key = Some(&b"topic/t"[..]);
        for (key, value) in [
            (None, None),
            (Some(&b"x/t"[..]), None),
            (Some(&b"topic/_t"[..]), None),
            (key, Some(&b""[..])),
            (key, Some(&b"\x02\x01\xa0"[..])),
            (key, Some(&b"\x01\x02\xa0"[..])),
            (key, Some(&b"\x01\x01\xa0"[..])),
        ] {
            assert!(CatalogRecord::decode(key, value).is_err());
        }
    }
}
