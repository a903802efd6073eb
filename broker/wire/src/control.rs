//! Control: one request, one reply, on a stream of their own.

use logmill_model::{
    BackupReport, BrokerStatus, DeployRequest, Deployed, DeploymentDescription, DeploymentName,
    LettersMarked, LettersPage, ModuleDescription, ModuleLogLine, MovedLane, Offset, PolicyChange,
    ProducerIdentity, ProducerName, ResetRequest, SkippedLane, StateEntry, StateQuery,
    TopicDescription, TopicName, TopicPolicy, Trace,
};
use serde::{Deserialize, Serialize};

use crate::{Message, limits};

/// What a client may ask for: `{"op": …}` and the fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op")]
pub enum Request {
    /// Creates a topic. Answered by [`Response::Topic`].
    #[serde(rename = "topic.create")]
    TopicCreate {
        /// Its name.
        topic: TopicName,
        /// How many partitions it has.
        partitions: u32,
        /// How long its records stay; absent is the default.
        #[serde(default, skip_serializing_if = "TopicPolicy::is_default")]
        policy: TopicPolicy,
    },
    /// Changes a topic's policy. Answered by [`Response::Topic`].
    #[serde(rename = "topic.alter")]
    TopicAlter {
        /// Its name.
        topic: TopicName,
        /// What changes; the rest stays.
        change: PolicyChange,
    },
    /// Lists the topics. Answered by [`Response::Topics`].
    #[serde(rename = "topic.ls")]
    TopicLs,
    /// Describes a topic. Answered by [`Response::Topic`].
    #[serde(rename = "topic.describe")]
    TopicDescribe {
        /// Its name.
        topic: TopicName,
    },
    /// Deletes a topic with its records. Answered by [`Response::Done`].
    #[serde(rename = "topic.delete")]
    TopicDelete {
        /// Its name.
        topic: TopicName,
    },
    /// Registers a producer. Answered by [`Response::Producer`].
    #[serde(rename = "producer.register")]
    ProducerRegister {
        /// The name under which it comes back, where it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<ProducerName>,
    },
    /// Tells of the broker. Answered by [`Response::Status`].
    #[serde(rename = "status")]
    Status,
    /// Believes the wall clock after it has jumped. Answered by [`Response::Done`].
    #[serde(rename = "clock.accept")]
    ClockAccept,
    /// Copies all that is durable to a directory of the broker's machine. Answered by
    /// [`Response::Backup`], when that is done.
    #[serde(rename = "backup")]
    Backup {
        /// The absolute path of the directory.
        to: String,
    },
    /// Deploys a module, or a new version. Answered by [`Response::Deployed`].
    #[serde(rename = "module.deploy")]
    ModuleDeploy(DeployRequest),
    /// Lists the deployments. Answered by [`Response::Deployments`].
    #[serde(rename = "module.ls")]
    ModuleLs,
    /// Describes a deployment. Answered by [`Response::Deployment`].
    #[serde(rename = "module.describe")]
    ModuleDescribe {
        /// Its name.
        name: DeploymentName,
    },
    /// Lets a deployment stand. Answered by [`Response::Done`].
    #[serde(rename = "module.pause")]
    ModulePause {
        /// Its name.
        name: DeploymentName,
    },
    /// Lets a deployment go on. Answered by [`Response::Done`], or with `skip_lost` by
    /// [`Response::Skipped`].
    #[serde(rename = "module.resume")]
    ModuleResume {
        /// Its name.
        name: DeploymentName,
        /// Whether lanes that are lost go on behind what they lost.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        skip_lost: bool,
    },
    /// Moves a deployment's cursors. Answered by [`Response::Moved`].
    #[serde(rename = "module.reset")]
    ModuleReset(ResetRequest),
    /// Asks what became of a record. Answered by [`Response::Trace`].
    #[serde(rename = "trace")]
    Trace {
        /// Its topic.
        topic: TopicName,
        /// Its partition.
        partition: u32,
        /// Its offset.
        offset: Offset,
    },
    /// Deletes a deployment with its cursors; its topics stay. Answered by [`Response::Done`].
    #[serde(rename = "module.delete")]
    ModuleDelete {
        /// Its name.
        name: DeploymentName,
    },
    /// Reads what a deployment's lanes remember, by lane and key, at most
    /// [`limits::STATE_ENTRIES_MAX`] keys. Answered by [`Response::State`].
    #[serde(rename = "module.state")]
    ModuleState(StateQuery),
    /// Reads a deployment's log. Answered by [`Response::Log`].
    #[serde(rename = "module.logs")]
    ModuleLogs {
        /// The deployment.
        name: DeploymentName,
        /// Only lines after this sequence; None from the oldest that is kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
        /// How many lines at most, itself at most [`limits::LOG_LINES_MAX`].
        max: u32,
        /// How long to wait for a line when there is none, in milliseconds; at most
        /// [`limits::LOG_WAIT_MS_MAX`].
        #[serde(default)]
        wait_ms: u64,
    },
    /// Tells of a deployment's dead letters in one partition. Answered by [`Response::Letters`].
    #[serde(rename = "dlq.ls")]
    DlqLs {
        /// The deployment.
        name: DeploymentName,
        /// The partition of its dead-letter topic.
        partition: u32,
        /// The first offset.
        from: Offset,
        /// The one after the last; absent is the durable end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Offset>,
        /// How many letters at most, itself at most 1000.
        max: u32,
    },
    /// Has dead letters handled again. Answered by [`Response::Marked`].
    #[serde(rename = "dlq.redrive")]
    DlqRedrive {
        /// The deployment.
        name: DeploymentName,
        /// The partition of its dead-letter topic.
        partition: u32,
        /// Where they lie in it, at most 256.
        offsets: Vec<Offset>,
        /// Whether only to tell what would be done.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        dry_run: bool,
    },
    /// Gives dead letters up. Answered by [`Response::Marked`].
    #[serde(rename = "dlq.purge")]
    DlqPurge {
        /// The deployment.
        name: DeploymentName,
        /// The partition of its dead-letter topic.
        partition: u32,
        /// Where they lie in it, at most 256.
        offsets: Vec<Offset>,
    },
}

impl Message for Request {
    const NAME: &'static str = "request";
    const BYTES_MAX: usize = limits::REQUEST_BYTES_MAX;
}

/// What the broker answers: `{"result": …, "value": …}`. A refusal is a
/// [`Fault`](crate::Fault) instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", content = "value", rename_all = "lowercase")]
pub enum Response {
    /// It was done; there is nothing to tell.
    Done,
    /// A topic.
    Topic(TopicDescription),
    /// All topics, by name.
    Topics(Vec<TopicDescription>),
    /// Who a producer is.
    Producer(ProducerIdentity),
    /// The broker.
    Status(Box<BrokerStatus>),
    /// The backup that was made.
    Backup(BackupReport),
    /// What was deployed.
    Deployed(Deployed),
    /// A deployment.
    Deployment(Box<DeploymentDescription>),
    /// All deployments, by name.
    Deployments(Vec<DeploymentDescription>),
    /// The lanes that went on behind what they had lost.
    Skipped(Vec<SkippedLane>),
    /// What became of a record.
    Trace(Trace),
    /// The lanes whose cursors were moved.
    Moved(Vec<MovedLane>),
    /// What a deployment's lanes remember, from where the request said on; none at the end.
    State(Vec<StateEntry>),
    /// Lines of a deployment's log, oldest first.
    Log(Vec<ModuleLogLine>),
    /// What has become of dead letters.
    Letters(LettersPage),
    /// What became of the dead letters that were named.
    Marked(LettersMarked),
    /// Where the edited dead letter lies: the answer to an [`Upload`](crate::Upload) of a value.
    Edited(Offset),
    /// The module that was uploaded: the answer to an [`Upload`](crate::Upload).
    Module(ModuleDescription),
}

impl Message for Response {
    const NAME: &'static str = "response";
    const BYTES_MAX: usize = limits::REPLY_BYTES_MAX;
}
