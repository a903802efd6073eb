//! The deployments that are at work: their compiled modules, their lanes and their instances.
//!
//! The catalog says what is deployed; this says what runs. One control lock orders deploys,
//! pauses and resumes, so that a deployment's lanes are started and stopped by one at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use logmill_model::internal::{DeploymentRecord, VersionRecord};
use logmill_model::{
    DeploymentId, DeploymentName, DeploymentState, LaneId, PartitionId, TopicName, World,
};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout_at;
use tracing::Instrument;

use crate::active::Active;
use crate::board::Board;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::engine::BeforeCall;
use crate::handler::Guest;
use crate::lane::broken::{Alarm, Rows};
use crate::lane::call::Context;
use crate::lane::parked::ParkedMax;
use crate::lane::redrive::Redrive;
use crate::lane::settle::Policy;
use crate::lane::{Lane, LaneStatus};
use crate::limits::{LANE_MAIL_MAX, LANES_SETTLE_MAX, RUN_RECORDS_MAX, RUNS_MAX};
use crate::module_log::ModuleLog;
use crate::outputs::Grants;
use crate::parts::Parts;
use crate::produce::Router;
use crate::remembered::Remembered;
use crate::seed::seed;
use crate::{Error, modules::Modules};

/// All deployments, by name.
pub(crate) struct Deployments {
    parts: Arc<Parts>,
    modules: Arc<Modules>,
    lane_parts: LaneParts,
    /// Held for a look-up or an insert only.
    by_name: RwLock<BTreeMap<DeploymentName, Arc<Deployment>>>,
    /// Whoever deploys, pauses, resumes or deletes holds it.
    pub(crate) control: tokio::sync::Mutex<()>,
}

/// What all lanes share, besides the parts.
pub(crate) struct LaneParts {
    /// Where runs note what they handle.
    pub(crate) board: Arc<Board>,
    /// A fail point.
    pub(crate) before_call: Option<BeforeCall>,
    /// Who pauses deployments whose module breaks on every record.
    pub(crate) alarms: mpsc::Sender<Alarm>,
}

/// What a deployment's module is.
#[derive(Clone)]
pub(crate) enum Condition {
    Compiling,
    Ready(Arc<Active>),
    Failed(String),
}

/// One deployment at work.
pub(crate) struct Deployment {
    name: DeploymentName,
    pub(crate) log: Arc<ModuleLog>,
    condition: Mutex<Condition>,
    lanes: Mutex<Lanes>,
    /// What its lanes remember; none before somebody asks, or after one of them ended badly.
    remembered: Mutex<Option<Arc<Remembered>>>,
    /// What the deployment may have of the workers, so that a slow one leaves some to others.
    slots: Arc<Semaphore>,
}

#[derive(Default)]
struct Lanes {
    stop: Option<watch::Sender<bool>>,
    tasks: Vec<JoinHandle<()>>,
    statuses: BTreeMap<LaneId, Arc<Mutex<LaneStatus>>>,
    /// What the lanes that run are asked to take back.
    mail: BTreeMap<LaneId, mpsc::Sender<Redrive>>,
}

impl Deployment {
    fn new(name: DeploymentName) -> Self {
        Self {
            name,
            log: Arc::default(),
            condition: Mutex::new(Condition::Compiling),
            lanes: Mutex::default(),
            remembered: Mutex::default(),
            slots: Arc::new(Semaphore::new(RUNS_MAX)),
        }
    }

    pub(crate) fn condition(&self) -> Condition {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_condition(&self, condition: Condition) {
        *self.condition.lock().unwrap_or_else(PoisonError::into_inner) = condition;
    }

    pub(crate) fn lane_status(&self, lane: LaneId) -> Option<LaneStatus> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let status = lanes.statuses.get(&lane)?;
        Some(status.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// What its lanes remember, as long as it is this deployment and not a later one of its name.
    pub(crate) fn remembered(&self, id: DeploymentId) -> Arc<Remembered> {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        match &*remembered {
            Some(it) if it.deployment() == id => Arc::clone(it),
            _ => Arc::clone(remembered.insert(Arc::new(Remembered::of(id)))),
        }
    }

    /// Where a lane is asked to take dead letters back; None when it does not run. Whoever must know
    /// for sure holds the control lock.
    pub(crate) fn mail(&self, lane: LaneId) -> Option<mpsc::Sender<Redrive>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).mail.get(&lane).cloned()
    }

    /// Has its claims read back before its lanes begin: what is durable of them was changed.
    pub(crate) fn forget_claims(&self) {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(remembered) = &*remembered {
            remembered.forget_claims();
        }
    }

    /// Stops the lanes; each settles and commits what it is handling first.
    pub(crate) async fn stop_lanes(&self) {
        let mut ended_well = true;
        for mut task in self.begin_stop() {
            ended_well &= self.report(&mut task).await;
        }
        if !ended_well {
            // What a lane committed last may not be taken in.
            *self.remembered.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Tells the lanes to stop, and hands out what is to be waited for.
    fn begin_stop(&self) -> Vec<JoinHandle<()>> {
        let stopped =
            std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(stop) = &stopped.stop {
            stop.send_replace(true);
        }
        stopped.tasks
    }

    /// Waits for a lane to end; tells whether it ended well.
    async fn report(&self, task: &mut JoinHandle<()>) -> bool {
        let ended = task.await;
        if let Err(error) = &ended {
            tracing::error!(deployment = %self.name, %error, "a lane ended badly");
        }
        ended.is_ok()
    }
}

impl Deployments {
    pub(crate) fn new(parts: Arc<Parts>, modules: Arc<Modules>, lane_parts: LaneParts) -> Self {
        let (by_name, control) = Default::default();
        Self { parts, modules, lane_parts, by_name, control }
    }

    pub(crate) fn lane_parts(&self) -> &LaneParts {
        &self.lane_parts
    }

    pub(crate) fn get(&self, name: &DeploymentName) -> Option<Arc<Deployment>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn get_or_insert(&self, name: &DeploymentName) -> Arc<Deployment> {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Deployment::new(name.clone()));
        Arc::clone(by_name.entry(name.clone()).or_insert_with(new))
    }

    pub(crate) fn remove(&self, name: &DeploymentName) {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Starts a deployment after the broker's start, unless it was deleted or deployed anew since.
    pub(crate) async fn start(&self, name: &DeploymentName) {
        let waits = self.get(name).map(|it| it.condition());
        if let Some(Condition::Compiling) = waits {
            self.activate(name).await;
        }
    }

    /// Makes what runs follow the catalog: loads the module of the active version, and runs the
    /// lanes of a consumer that is not paused. The caller holds the control lock, or nobody else
    /// is there yet.
    pub(crate) async fn activate(&self, name: &DeploymentName) {
        let deployment = self.get_or_insert(name);
        deployment.stop_lanes().await;
        let catalog = self.parts.views.catalog();
        let Some((record, version)) =
            catalog.deployment(name).cloned().zip(catalog.active_version(name).cloned())
        else {
            deployment.set_condition(Condition::Failed("its settings are not there".to_owned()));
            return;
        };
        match self.modules.get(version.digest).await {
            Ok(module) => {
                let guest = Guest {
                    module,
                    world: record.world,
                    limits: record.limits,
                    config: version.settings.config.clone().into(),
                    log: Arc::clone(&deployment.log),
                };
                let active = Arc::new(Active::new(guest.clone(), &version));
                deployment.set_condition(Condition::Ready(active));
                let may_run = self.parts.suspects.everything().is_none();
                if record.world == World::Consumer
                    && record.state == DeploymentState::Running
                    && may_run
                {
                    self.start_lanes(&deployment, &record, &version, &guest);
                }
            }
            Err(error) => {
                tracing::error!(deployment = %name, %error, "deployment failed");
                deployment.set_condition(Condition::Failed(error.to_string()));
            }
        }
    }

    fn start_lanes(
        &self,
        deployment: &Deployment,
        record: &DeploymentRecord,
        version: &VersionRecord,
        guest: &Guest,
    ) {
        let (stop, stopped) = watch::channel(false);
        let mut lanes = Lanes { stop: Some(stop), ..Lanes::default() };
        let catalog = self.parts.views.catalog();
        let (name, alarms) = (deployment.name.to_string(), self.lane_parts.alarms.clone());
        let rows = Arc::new(Rows::new(name, record.active_version, alarms));
        for (id, cursor) in self.parts.views.lanes_of(record.id) {
            let Some(topic) = catalog.topic_name(id.source.topic) else { continue };
            let (from, clock) = ((topic, id.source), self.parts.clock.clone());
            let settings = (record, version);
            let shared = (deployment, &rows, &self.lane_parts);
            let context = context(shared, settings, guest, from, clock);
            let status = Arc::<Mutex<LaneStatus>>::default();
            lanes.statuses.insert(id, Arc::clone(&status));
            let suspect = self.parts.suspects.lane(id).map(str::to_owned);
            let unknown = || {
                cursor.is_unknown().then(|| is_unknown(&deployment.name, topic, id.source.index))
            };
            if let Some(why) = suspect.or_else(unknown) {
                tracing::error!(deployment = %deployment.name, %topic, partition = id.source.index, why, "the lane stands still");
                let mut status = status.lock().unwrap_or_else(PoisonError::into_inner);
                *status = LaneStatus::corrupt(why, None);
                continue;
            }
            let (parts, (mail, opened)) = (Arc::clone(&self.parts), mpsc::channel(LANE_MAIL_MAX));
            lanes.mail.insert(id, mail);
            let told = (stopped.clone(), opened);
            let lane = Lane::new(parts, Arc::new(context), (id, cursor), told, status);
            let span = tracing::info_span!("lane", deployment = %deployment.name, %topic, partition = id.source.index);
            lanes.tasks.push(tokio::spawn(lane.run().instrument(span)));
        }
        *deployment.lanes.lock().unwrap_or_else(PoisonError::into_inner) = lanes;
    }

    /// Stops all lanes. One that is in a long call is not waited for: what it has not committed
    /// has not happened, and costs its record no attempt.
    pub(crate) async fn stop(&self) {
        let all: Vec<_> =
            self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let stopping: Vec<_> = all.iter().map(|it| (it, it.begin_stop())).collect();
        let until = tokio::time::Instant::now() + LANES_SETTLE_MAX;
        for (deployment, tasks) in stopping {
            for mut task in tasks {
                if timeout_at(until, deployment.report(&mut task)).await.is_err() {
                    tracing::warn!(deployment = %deployment.name, "a lane was stopped in a long call");
                    task.abort();
                }
            }
        }
    }

    /// Makes all deployments of the catalog known, before any of them works.
    pub(crate) fn announce(&self, catalog: &Catalog) {
        for (name, _) in catalog.deployments() {
            self.get_or_insert(name);
        }
    }

    /// The module of a deployment that works; else what it is instead.
    pub(crate) fn ready(
        &self,
        catalog: &Catalog,
        name: &DeploymentName,
    ) -> Result<Arc<Active>, String> {
        if let Some(why) = self.parts.suspects.everything() {
            return Err(format!("paused: {why}"));
        }
        if let Some(record) = catalog.deployment(name)
            && let DeploymentState::Paused { .. } = record.state
        {
            return Err("paused".to_owned());
        }
        match self.get(name).map(|deployment| deployment.condition()) {
            Some(Condition::Ready(active)) => Ok(active),
            Some(Condition::Failed(reason)) => Err(format!("failed: {reason}")),
            Some(Condition::Compiling) | None => Err("compiling".to_owned()),
        }
    }

    /// The routers of a topic, in name order.
    pub(crate) fn routers_of(
        &self,
        catalog: &Catalog,
        topic: &TopicName,
    ) -> Result<Vec<Router>, Error> {
        let mut routers = Vec::new();
        for (name, record) in catalog.deployments() {
            if record.world != World::Router {
                continue;
            }
            let Some(version) = catalog.active_version(name) else { continue };
            if !version.settings.on.contains(topic) {
                continue;
            }
            let active = self
                .ready(catalog, name)
                .map_err(|state| Error::RouterNotReady { deployment: name.clone(), state })?;
            routers.push(Router { deployment: name.clone(), active });
        }
        Ok(routers)
    }
}

/// Why a lane stands whose cursor was lost, and that was accepted, for a person.
fn is_unknown(name: &DeploymentName, topic: &TopicName, partition: u32) -> String {
    format!(
        "corrupt: its cursor is lost, and no older one is known; `logmill module reset {name} --topic {topic} --partition {partition} --to POSITION` says where it goes on"
    )
}

fn context(
    (deployment, rows, lane_parts): (&Deployment, &Arc<Rows>, &LaneParts),
    (record, version): (&DeploymentRecord, &VersionRecord),
    guest: &Guest,
    (topic, source): (&TopicName, PartitionId),
    clock: Clock,
) -> Context {
    let settings = &version.settings;
    Context {
        deployment: deployment.name.to_string(),
        version: record.active_version,
        digest: version.digest,
        topic: topic.clone(),
        partition: source.index,
        policy: Policy { max_attempts: settings.max_attempts, backoff: settings.backoff.clone() },
        order: settings.order,
        parked_max: ParkedMax::of(settings),
        run_records: RUN_RECORDS_MAX,
        grants: Grants::new(&settings.out),
        dlq: settings.dlq.clone(),
        handlers: Arc::new(guest.clone()),
        log: Arc::clone(&deployment.log),
        clock,
        board: Arc::clone(&lane_parts.board),
        before_call: lane_parts.before_call.clone(),
        rows: Arc::clone(rows),
        slots: Arc::clone(&deployment.slots),
        idempotency: settings.idempotency.clone(),
        window_ms: settings.idempotency_window_ms,
        remembered: deployment.remembered(record.id),
        seed: seed(&deployment.name, topic, source.index),
    }
}
