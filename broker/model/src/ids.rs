//! Ids and quantities, as types that cannot be mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The zero value.
            pub const ZERO: Self = Self(0);

            /// `self + n`, or `None` past the end of u64.
            #[must_use]
            pub fn checked_add(self, n: u64) -> Option<Self> {
                self.0.checked_add(n).map(Self)
            }

            /// The next value.
            ///
            /// # Panics
            /// Past 2⁶⁴ − 1, which at a million a second takes half a million years.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("a u64 count does not run out"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

quantity! {
    /// The place of a record in its partition, from 0. Never reused.
    Offset
}
quantity! {
    /// A commit sequence number: the dense number of a commit in its shard, from 1.
    Csn
}
quantity! {
    /// The number of the broker's start that wrote an entry: one higher at each start.
    Epoch
}
quantity! {
    /// Milliseconds since the Unix epoch.
    Timestamp
}

impl Offset {
    /// How many offsets lie in `self..end`; 0 when `end` is before `self`.
    #[must_use]
    pub fn distance_to(self, end: Self) -> u64 {
        end.0.saturating_sub(self.0)
    }
}

impl Timestamp {
    /// This time plus some milliseconds, held at the end of u64.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// This time less some milliseconds, held at the epoch.
    #[must_use]
    pub fn minus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }

    /// Milliseconds from `self` until `later`; 0 when that is past.
    #[must_use]
    pub fn ms_until(self, later: Self) -> u64 {
        later.0.saturating_sub(self.0)
    }
}

/// A topic: the offset of the catalog record that created it, plus [`TopicId::FIRST_USER`].
///
/// Known before the commit that creates the topic (which is conditional on the catalog's end), the
/// same after any replay, and never used again. Ids below [`TopicId::FIRST_USER`] are the
/// broker's internal topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicId(pub u64);

impl TopicId {
    /// `_catalog`: topics and deployments.
    pub const CATALOG: Self = Self(1);
    /// `_cursors`: the cursor of every lane, with its attempts and counts.
    pub const CURSORS: Self = Self(2);
    /// `_segments`: which files hold the log, and where partitions start.
    pub const SEGMENTS: Self = Self(3);
    /// `_producers`: who may produce, and how far each has come.
    pub const PRODUCERS: Self = Self(4);
    /// `_claims`: the idempotency keys that deployments have seen, a partition for each deployment.
    pub const CLAIMS: Self = Self(5);
    /// `_state`: what modules remember, a partition for each deployment.
    pub const STATE: Self = Self(6);
    /// `_decisions`: what became of each attempt at a record, a partition for each deployment.
    pub const DECISIONS: Self = Self(8);
    /// `_letters`: which dead letters were redriven or purged.
    pub const LETTERS: Self = Self(7);
    /// The first id of a user's topic.
    pub const FIRST_USER: u64 = 16;

    /// Whether this is one of the broker's internal topics.
    #[must_use]
    pub fn is_internal(self) -> bool {
        self.0 < Self::FIRST_USER
    }
}

/// Internal topics have a name, those of users a number.
impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::CATALOG => f.write_str("_catalog"),
            Self::CURSORS => f.write_str("_cursors"),
            Self::SEGMENTS => f.write_str("_segments"),
            Self::PRODUCERS => f.write_str("_producers"),
            Self::CLAIMS => f.write_str("_claims"),
            Self::STATE => f.write_str("_state"),
            Self::LETTERS => f.write_str("_letters"),
            Self::DECISIONS => f.write_str("_decisions"),
            Self(number) => write!(f, "t{number}"),
        }
    }
}

/// One partition of one topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId {
    /// The topic.
    pub topic: TopicId,
    /// The partition's number in its topic, from 0.
    pub index: u32,
}

impl PartitionId {
    /// The only partition of `_catalog`.
    pub const CATALOG: Self = Self::new(TopicId::CATALOG, 0);
    /// The only partition of `_cursors`.
    pub const CURSORS: Self = Self::new(TopicId::CURSORS, 0);
    /// The only partition of `_segments`.
    pub const SEGMENTS: Self = Self::new(TopicId::SEGMENTS, 0);
    /// The only partition of `_producers`.
    pub const PRODUCERS: Self = Self::new(TopicId::PRODUCERS, 0);
    /// The only partition of `_letters`.
    pub const LETTERS: Self = Self::new(TopicId::LETTERS, 0);

    /// The internal partitions that always are, in the order in which a start reads them: the catalog
    /// says which others there are.
    pub const INTERNAL: [Self; 5] =
        [Self::CATALOG, Self::CURSORS, Self::SEGMENTS, Self::PRODUCERS, Self::LETTERS];

    /// The partition of `_claims` that is a deployment's; None beyond the deployments that can be.
    #[must_use]
    pub fn claims_of(deployment: DeploymentId) -> Option<Self> {
        Some(Self::new(TopicId::CLAIMS, u32::try_from(deployment.0).ok()?))
    }

    /// The partition of `_state` that is a deployment's; None beyond the deployments that can be.
    #[must_use]
    pub fn state_of(deployment: DeploymentId) -> Option<Self> {
        Some(Self::new(TopicId::STATE, u32::try_from(deployment.0).ok()?))
    }

    /// The partition of `_decisions` that is a deployment's; None beyond the deployments that can be.
    #[must_use]
    pub fn decisions_of(deployment: DeploymentId) -> Option<Self> {
        Some(Self::new(TopicId::DECISIONS, u32::try_from(deployment.0).ok()?))
    }

    /// The offset of the record of `_catalog` that created it; None for those that always are.
    #[must_use]
    pub fn created_at(self) -> Option<Offset> {
        match self.topic {
            TopicId::CLAIMS | TopicId::STATE | TopicId::DECISIONS => {
                Some(Offset(self.index.into()))
            }
            TopicId(id) => id.checked_sub(TopicId::FIRST_USER).map(Offset),
        }
    }

    /// Partition `index` of `topic`.
    #[must_use]
    pub const fn new(topic: TopicId, index: u32) -> Self {
        Self { topic, index }
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.index)
    }
}

/// A deployment: the offset of the catalog record that created it. Never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeploymentId(pub u64);

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{}", self.0)
    }
}

/// One deployment on one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaneId {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The partition it consumes.
    pub source: PartitionId,
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.deployment, self.source)
    }
}

/// The shard whose log an entry belongs to; a single node is shard 0.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ShardId(pub u16);

/// A broker's cluster: 128 random bits, made when its data directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClusterId(pub [u8; 16]);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::str::FromStr for ClusterId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        from_hex(text).map(Self).ok_or_else(|| Error::ClusterId(text.to_owned()))
    }
}

/// A module's name: the SHA-256 of its bytes, shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ModuleDigest(pub [u8; 32]);

impl fmt::Display for ModuleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ModuleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModuleDigest({self})")
    }
}

impl From<ModuleDigest> for String {
    fn from(digest: ModuleDigest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for ModuleDigest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl std::str::FromStr for ModuleDigest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        from_hex(text).map(Self).ok_or_else(|| Error::ModuleDigest(text.to_owned()))
    }
}

/// The bytes that these hexadecimal digits are, two for each.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(0..) {
        *byte = u8::from_str_radix(&text[pair * 2..pair * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}
