//! Topics, deployments and status.

mod dead_letters;

use std::time::Duration;

use bytes::Bytes;
use logmill_model::{
    BackupReport, BrokerStatus, DeployRequest, Deployed, DeploymentDescription, DeploymentName,
    ModuleDescription, ModuleLogLine, MovedLane, Offset, PolicyChange, ProducerIdentity,
    ProducerName, ResetRequest, SkippedLane, StateEntry, StateQuery, TopicDescription, TopicName,
    TopicPolicy, Trace, limits::MODULE_BYTES_MAX,
};
use logmill_wire::{Accepts, ErrorCode, Request, Response, StreamKind, Upload};

use crate::{Client, Error, stream};

const UPLOAD_CHUNK_BYTES: usize = 256 * 1024;

/// Topics, deployments and status of a broker. Each call is a stream of its own, so that none waits
/// for another.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use logmill_client::{Client, ConnectOptions};
///
/// let client = Client::connect(ConnectOptions::discover(None)?).await?;
/// let topic = client.admin().create_topic("orders".parse()?, 3).await?;
/// assert_eq!(topic.partitions.len(), 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Admin {
    client: Client,
}

/// Sends a request and takes the one kind of response that belongs to it.
macro_rules! ask {
    ($self:ident, $request:expr, $response:pat => $value:expr) => {
        match $self.ask($request).await? {
            $response => Ok($value),
            _ => Err(wrong_answer()),
        }
    };
}

impl Admin {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Creates a topic that keeps all its records.
    ///
    /// # Errors
    /// [`Error::Refused`]: topic exists, bad request. See [`Error`] for those that every call has.
    pub async fn create_topic(
        &self,
        topic: TopicName,
        partitions: u32,
    ) -> Result<TopicDescription, Error> {
        self.create_topic_with(topic, partitions, TopicPolicy::default()).await
    }

    /// Creates a topic with this policy.
    ///
    /// # Errors
    /// [`Error::Refused`]: topic exists, bad request.
    pub async fn create_topic_with(
        &self,
        topic: TopicName,
        partitions: u32,
        policy: TopicPolicy,
    ) -> Result<TopicDescription, Error> {
        let request = Request::TopicCreate { topic, partitions, policy };
        ask!(self, request, Response::Topic(topic) => topic)
    }

    /// Changes a topic's policy at once; what the change does not name stays.
    ///
    /// # Errors
    /// [`Error::Refused`]: unknown topic, bad request.
    pub async fn alter_topic(
        &self,
        topic: TopicName,
        change: PolicyChange,
    ) -> Result<TopicDescription, Error> {
        ask!(self, Request::TopicAlter { topic, change }, Response::Topic(topic) => topic)
    }

    /// All topics, by name.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn topics(&self) -> Result<Vec<TopicDescription>, Error> {
        ask!(self, Request::TopicLs, Response::Topics(topics) => topics)
    }

    /// A topic.
    ///
    /// # Errors
    /// [`Error::Refused`]: unknown topic.
    pub async fn topic(&self, topic: TopicName) -> Result<TopicDescription, Error> {
        ask!(self, Request::TopicDescribe { topic }, Response::Topic(topic) => topic)
    }

    /// Deletes a topic with its records.
    ///
    /// # Errors
    /// [`Error::Refused`]: unknown topic, topic in use.
    pub async fn delete_topic(&self, topic: TopicName) -> Result<(), Error> {
        ask!(self, Request::TopicDelete { topic }, Response::Done => ())
    }

    /// Registers a producer.
    pub(crate) async fn register_producer(
        &self,
        name: Option<ProducerName>,
    ) -> Result<ProducerIdentity, Error> {
        let request = Request::ProducerRegister { name };
        ask!(self, request, Response::Producer(identity) => identity)
    }

    /// The broker at a glance.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn status(&self) -> Result<BrokerStatus, Error> {
        ask!(self, Request::Status, Response::Status(status) => *status)
    }

    /// Makes the broker believe its machine's wall clock again, after that has jumped.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn accept_clock(&self) -> Result<(), Error> {
        ask!(self, Request::ClockAccept, Response::Done => ())
    }

    /// Copies all that is durable to a directory of the broker's machine, given by its absolute
    /// path; returns when the copy is whole. [`status`](Self::status) tells how far it is meanwhile.
    ///
    /// # Errors
    /// [`Error::Refused`]: bad request when the directory is neither empty nor a backup of this
    /// broker; internal when it can't be written, or a file of the log is damaged.
    pub async fn backup(&self, to: String) -> Result<BackupReport, Error> {
        ask!(self, Request::Backup { to }, Response::Backup(report) => report)
    }

    /// Uploads a module: a WebAssembly component. The same bytes again change nothing.
    ///
    /// # Errors
    /// [`Error::Refused`]: module refused, with the reason.
    pub async fn upload(&self, module: Bytes) -> Result<ModuleDescription, Error> {
        let length = module.len() as u64;
        if module.len() > MODULE_BYTES_MAX {
            let text = format!("it has {length} bytes, at most {MODULE_BYTES_MAX} are allowed");
            return Err(logmill_wire::Fault::new(ErrorCode::ModuleRefused, text).into());
        }
        match self.send(Upload::of_module(length), module).await? {
            Response::Module(module) => Ok(module),
            _ => Err(wrong_answer()),
        }
    }

    /// Sends bytes on a stream of their own, and takes what the broker makes of them.
    async fn send(&self, upload: Upload, mut rest: Bytes) -> Result<Response, Error> {
        let connection = self.client.connection();
        let (mut writer, mut reader) =
            stream::open(&connection, StreamKind::Upload, &upload).await?;
        while !rest.is_empty() {
            let chunk = rest.split_to(rest.len().min(UPLOAD_CHUNK_BYTES));
            match writer.send_raw(chunk).await {
                Ok(()) => {}
                // The broker has seen enough, and its answer says why.
                Err(quinn::WriteError::Stopped(_)) => break,
                Err(error) => return Err(Error::from(error).of_unsent()),
            }
        }
        writer.finish();
        reader.reply(Accepts::of(&[])).await.map_err(|error| lost(error, true))
    }

    /// Deploys an uploaded module, or a new version of a deployment.
    ///
    /// # Errors
    /// [`Error::Refused`]: unknown module, deployment refused.
    pub async fn deploy(&self, request: DeployRequest) -> Result<Deployed, Error> {
        ask!(self, Request::ModuleDeploy(request), Response::Deployed(deployed) => deployed)
    }

    /// All deployments, by name.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn deployments(&self) -> Result<Vec<DeploymentDescription>, Error> {
        ask!(self, Request::ModuleLs, Response::Deployments(deployments) => deployments)
    }

    /// A deployment.
    ///
    /// # Errors
    /// [`Error::Refused`]: unknown deployment.
    pub async fn deployment(&self, name: DeploymentName) -> Result<DeploymentDescription, Error> {
        ask!(self, Request::ModuleDescribe { name }, Response::Deployment(found) => *found)
    }

    /// Lets a deployment stand until it is resumed.
    ///
    /// # Errors
    /// [`Error::Refused`]: unknown deployment.
    pub async fn pause(&self, name: DeploymentName) -> Result<(), Error> {
        ask!(self, Request::ModulePause { name }, Response::Done => ())
    }

    /// Lets a deployment go on. A lane whose next record retention removed stays lost.
    ///
    /// # Errors
    /// [`Error::Refused`]: unknown deployment.
    pub async fn resume(&self, name: DeploymentName) -> Result<(), Error> {
        ask!(self, Request::ModuleResume { name, skip_lost: false }, Response::Done => ())
    }

    /// Lets a deployment go on, and its lost lanes behind what retention removed. Gives these.
    ///
    /// # Errors
    /// [`Error::Refused`]: unknown deployment.
    pub async fn resume_skipping_lost(
        &self,
        name: DeploymentName,
    ) -> Result<Vec<SkippedLane>, Error> {
        let request = Request::ModuleResume { name, skip_lost: true };
        ask!(self, request, Response::Skipped(skipped) => skipped)
    }

    /// Moves cursors of a deployment by hand. What waits for another attempt is forgotten.
    ///
    /// # Errors
    /// [`Error::Refused`]: unknown deployment, a position that is not there, an offset for more than one
    /// lane.
    pub async fn reset(&self, request: ResetRequest) -> Result<Vec<MovedLane>, Error> {
        ask!(self, Request::ModuleReset(request), Response::Moved(moved) => moved)
    }

    /// What became of a record.
    ///
    /// # Errors
    /// [`Error::Refused`]: unknown topic or partition, an offset that is not there.
    pub async fn trace(
        &self,
        topic: TopicName,
        partition: u32,
        offset: Offset,
    ) -> Result<Trace, Error> {
        let request = Request::Trace { topic, partition, offset };
        ask!(self, request, Response::Trace(trace) => trace)
    }

    /// Deletes a deployment with its cursors. Its topics stay.
    ///
    /// # Errors
    /// [`Error::Refused`]: unknown deployment.
    pub async fn delete_deployment(&self, name: DeploymentName) -> Result<(), Error> {
        ask!(self, Request::ModuleDelete { name }, Response::Done => ())
    }

    /// A page of what a deployment's lanes remember, by lane and key; an empty one at its end. The next
    /// one begins `after` the last entry of this.
    ///
    /// # Errors
    /// [`Error::Refused`]: unknown deployment, unknown topic; corrupt when some of it may be lost.
    pub async fn module_state(&self, query: StateQuery) -> Result<Vec<StateEntry>, Error> {
        ask!(self, Request::ModuleState(query), Response::State(entries) => entries)
    }

    /// Lines of a deployment's log.
    ///
    /// # Errors
    /// [`Error::Refused`]: unknown deployment.
    pub async fn module_logs(
        &self,
        name: DeploymentName,
        query: LogQuery,
    ) -> Result<Vec<ModuleLogLine>, Error> {
        let LogQuery { after, max, wait } = query;
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let request = Request::ModuleLogs { name, after, max, wait_ms };
        ask!(self, request, Response::Log(lines) => lines)
    }

    async fn ask(&self, request: Request) -> Result<Response, Error> {
        let connection = self.client.connection();
        let changes = changes(&request);
        let (mut writer, mut reader) =
            stream::open(&connection, StreamKind::Control, &request).await?;
        writer.finish();
        reader.reply(Accepts::of(&[])).await.map_err(|error| lost(error, changes))
    }
}

/// Which lines of a module's log to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogQuery {
    /// Only lines after this sequence; None from the oldest that is kept.
    pub after: Option<u64>,
    /// How many at most; the broker gives no more than 1000.
    pub max: u32,
    /// How long to wait for a line when there is none; the broker waits no longer than 30 s.
    pub wait: Duration,
}

impl Default for LogQuery {
    /// All that is kept, up to 1000 lines, without waiting.
    fn default() -> Self {
        Self { after: None, max: logmill_wire::limits::LOG_LINES_MAX, wait: Duration::ZERO }
    }
}

/// Whether a request changes anything: then no answer means that the outcome is unknown.
fn changes(request: &Request) -> bool {
    match request {
        Request::TopicCreate { .. }
        | Request::TopicAlter { .. }
        | Request::TopicDelete { .. }
        | Request::Backup { .. }
        | Request::ClockAccept
        | Request::ProducerRegister { .. }
        | Request::ModuleDeploy(_)
        | Request::ModulePause { .. }
        | Request::ModuleResume { .. }
        | Request::ModuleReset(_)
        | Request::ModuleDelete { .. }
        | Request::DlqRedrive { .. }
        | Request::DlqPurge { .. } => true,
        Request::TopicLs
        | Request::TopicDescribe { .. }
        | Request::Status
        | Request::ModuleLs
        | Request::ModuleDescribe { .. }
        | Request::ModuleState(_)
        | Request::Trace { .. }
        | Request::ModuleLogs { .. }
        | Request::DlqLs { .. } => false,
    }
}

fn lost(error: Error, changes: bool) -> Error {
    match error {
        Error::Disconnected { .. } if changes => error.of_unanswered(),
        other => other,
    }
}

fn wrong_answer() -> Error {
    Error::Protocol("it gives the answer to another request".to_owned())
}

#[cfg(test)]
mod tests;
