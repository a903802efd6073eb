//! What the broker tells of itself, and what it is asked to deploy. The field names are those of
//! the command line's JSON.

use serde::{Deserialize, Serialize};

use crate::{
    Backoff, CorruptPlace, Counts, Csn, DeploymentName, DeploymentSettings, Idempotency, LogLevel,
    ModuleDigest, ModuleLimits, Offset, Order, OutputGrant, Position, SpaceLevel, Timestamp,
    TopicName, TopicPolicy, Unrouted, World,
};

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicDescription {
    /// Its name.
    pub name: TopicName,
    /// When it was created.
    pub created_ts: Timestamp,
    /// How long its records stay.
    #[serde(default)]
    pub policy: TopicPolicy,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionDescription {
    /// Its number.
    pub partition: u32,
    /// The first offset that is there.
    pub start: Offset,
    /// The offset that the next record gets: the durable end.
    pub end: Offset,
    /// Bytes of the batches that are there, envelopes included; what retention goes by.
    #[serde(default)]
    pub bytes: u64,
    /// How many of its offsets are lost with what is corrupt, accepted or not. There may have been fewer
    /// records: where nothing tells, the end jumps past every offset that they can have had.
    #[serde(default)]
    pub lost: u64,
}

impl PartitionDescription {
    /// How many records are there, as far as offsets tell: compaction takes some.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.start.distance_to(self.end).saturating_sub(self.lost)
    }
}

/// What to deploy. What is None comes from the previous version, else from the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployRequest {
    /// The deployment.
    pub name: DeploymentName,
    /// The module, which must have been uploaded.
    pub digest: ModuleDigest,
    /// What it is used as; None is the only world that the module exports.
    pub world: Option<World>,
    /// The topics it works on.
    pub on: Option<Vec<TopicName>>,
    /// The topics that it may write to.
    pub out: Option<Vec<OutputGrant>>,
    /// Passed to the module's `init`.
    pub config: Option<Vec<(String, String)>>,
    /// Where to start; only when the deployment is new. Consumers only.
    pub from: Option<Position>,
    /// Failed attempts until a record is dead-lettered. Consumers only.
    pub max_attempts: Option<u32>,
    /// How long a failed record waits. Consumers only.
    pub backoff: Option<Backoff>,
    /// What a record that waits for another attempt holds up. Consumers only.
    pub order: Option<Order>,
    /// Most records of one lane that may wait at once under [`Order::Key`]. Consumers only.
    pub max_parked: Option<u32>,
    /// Where dead letters go. Consumers only.
    pub dlq: Option<TopicName>,
    /// Where a record has its idempotency key. Consumers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Idempotency>,
    /// How long a claimed key is remembered, in milliseconds. Consumers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_window_ms: Option<u64>,
    /// What happens to a record without a route. Routers only.
    pub unrouted: Option<Unrouted>,
    /// Memory of one instance, in bytes.
    pub memory_bytes: Option<u64>,
    /// What one call may use, in milliseconds.
    pub deadline_ms: Option<u64>,
    /// Whether to leave it standing until it is resumed.
    pub paused: bool,
}

impl DeployRequest {
    /// This module under this name, with nothing else said.
    #[must_use]
    pub fn new(name: DeploymentName, digest: ModuleDigest) -> Self {
        Self {
            name,
            digest,
            world: None,
            on: None,
            out: None,
            config: None,
            from: None,
            max_attempts: None,
            backoff: None,
            order: None,
            max_parked: None,
            dlq: None,
            idempotency: None,
            idempotency_window_ms: None,
            unrouted: None,
            memory_bytes: None,
            deadline_ms: None,
            paused: false,
        }
    }
}

/// What was deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// The deployment.
    pub name: DeploymentName,
    /// Its new version.
    pub version: u32,
    /// The module.
    pub digest: ModuleDigest,
    /// Where the version starts, for each lane of a consumer.
    pub start: Vec<StartOffset>,
}

/// The first offset that a version handles on one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartOffset {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: Offset,
}

/// Whether a deployment works, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeploymentStatus {
    /// Its module is being compiled.
    Compiling,
    /// It works.
    Running,
    /// It stands still until it is resumed.
    Paused,
    /// It can't work; the reason says why.
    Failed,
}

impl DeploymentStatus {
    /// The status as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compiling => "compiling",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Failed => "failed",
        }
    }
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentDescription {
    /// Its name.
    pub name: DeploymentName,
    /// What its module is used as.
    pub world: World,
    /// Whether it works.
    pub state: DeploymentStatus,
    /// Why it is paused or failed.
    pub reason: Option<String>,
    /// The version that is active.
    pub active_version: u32,
    /// The module.
    pub digest: ModuleDigest,
    /// How it is used.
    pub settings: DeploymentSettings,
    /// The limits on its instances.
    pub limits: ModuleLimits,
    /// The topics it works on.
    pub sources: Vec<TopicName>,
    /// Its lanes; none for a router or filter.
    pub lanes: Vec<LaneDescription>,
    /// What has become of the records of all lanes.
    pub counts: Counts,
}

/// Whether a lane works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LaneState {
    /// It works, as far as its deployment does.
    #[default]
    Running,
    /// Retention removed its next record; it stands until it is told to skip what is lost.
    Lost,
    /// Its next records, or its cursor, can't be read; it stands until the loss is accepted.
    Corrupt,
}

impl LaneState {
    /// The state as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Lost => "lost",
            Self::Corrupt => "corrupt",
        }
    }
}

/// Offsets that retention removed before a lane had handled them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostOffsets {
    /// The first.
    pub from: Offset,
    /// The one after the last.
    pub to: Offset,
}

/// A lane that was told to go on behind what it lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedLane {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: u32,
    /// What it skipped.
    pub lost: LostOffsets,
}

/// A lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneDescription {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: u32,
    /// The first offset without an outcome.
    pub cursor: Offset,
    /// How many offsets lie between the cursor and the durable end, without those that are lost with what
    /// is corrupt.
    pub lag: u64,
    /// Records that wait for another attempt.
    pub parked: u64,
    /// Records that are being handled.
    pub in_flight: u64,
    /// Whether it works.
    #[serde(default)]
    pub state: LaneState,
    /// What it lost, when it has.
    #[serde(default)]
    pub lost: Option<LostOffsets>,
    /// Why the lane stands still, when it does and its deployment does not.
    pub waiting: Option<String>,
}

/// A module that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleDescription {
    /// Its digest.
    pub digest: ModuleDigest,
    /// Its size in bytes.
    pub bytes: u64,
    /// The worlds it can be used as.
    pub worlds: Vec<World>,
    /// The interfaces it imports.
    pub imports: Vec<String>,
    /// How long it took to compile, in milliseconds; 0 when the code was cached.
    pub compile_ms: u64,
}

/// A line of a module's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleLogLine {
    /// Its number in the deployment's log, from 0, since the broker's start.
    pub sequence: u64,
    /// When it was written.
    pub ts: Timestamp,
    /// How bad it is.
    pub level: LogLevel,
    /// The record that was being handled, when there was one.
    pub topic: Option<String>,
    /// Its partition.
    pub partition: Option<u32>,
    /// Its offset.
    pub offset: Option<Offset>,
    /// The attempt.
    pub attempt: Option<u32>,
    /// What the module wrote.
    pub text: String,
}

/// A wall clock that was set by more than an hour while the broker ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockJump {
    /// What the wall clock says.
    pub wall: Timestamp,
    /// What the broker goes by: the last believed time, and what has passed since.
    pub believed: Timestamp,
}

/// How far a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupProgress {
    /// Bytes that are copied, or were there already.
    pub done_bytes: u64,
    /// About how many there are.
    pub total_bytes: u64,
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// Its directory, on the broker's machine.
    pub to: String,
    /// The newest commit that is in it; all before it are, too.
    pub csn: Csn,
    /// How many files it has.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of those were not there before.
    pub copied_bytes: u64,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
}

/// The broker at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerStatus {
    /// The broker's version.
    pub version: String,
    /// The cluster it is.
    pub cluster: String,
    /// How often its data directory was opened.
    pub epoch: u64,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Bytes of its journal.
    pub journal_bytes: u64,
    /// Bytes free on the disk of its data directory.
    pub disk_free_bytes: u64,
    /// Whether that is enough, and what is refused when it is not.
    #[serde(default)]
    pub disk_level: SpaceLevel,
    /// The newest durable commit.
    pub durable_csn: u64,
    /// The jump of the wall clock that the broker does not believe, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_jump: Option<ClockJump>,
    /// Where the log is corrupt, as far as that was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corrupt: Vec<CorruptPlace>,
    /// How far the backup is that is being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupProgress>,
    /// Dead letters that nobody has redriven or purged.
    #[serde(default)]
    pub open_dead_letters: u64,
    /// Topics, without the internal ones.
    pub topics: Vec<TopicDescription>,
    /// Deployments.
    pub deployments: Vec<DeploymentDescription>,
}
