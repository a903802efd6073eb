//! The deployments that are at work: their compiled modules, their lanes and their instances.
//!
//! The catalog says what is deployed; this says what runs. One control lock orders deploys,
//! pauses and resumes, so that a deployment's lanes are started and stopped by one at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use logmill_model::internal::{DeploymentRecord, VersionRecord};
use logmill_model::{
    DeploymentName, DeploymentState, LaneId, PartitionId, Timestamp, TopicName, World,
};
use logmill_wasm::{Failure, Instance};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::catalog::Catalog;
use crate::core::Core;
use crate::handler::Guest;
use crate::lane::run::Context;
use crate::lane::settle::Policy;
use crate::lane::{Lane, LaneStatus};
use crate::limits::ROUTER_INSTANCES_MAX;
use crate::module_log::ModuleLog;
use crate::outputs::Grants;
use crate::produce::Router;
use crate::{Error, modules::Modules};

/// All deployments, by name.
pub(crate) struct Deployments {
    core: Arc<Core>,
    modules: Arc<Modules>,
    /// Held for a look-up or an insert only.
    by_name: RwLock<BTreeMap<DeploymentName, Arc<Deployment>>>,
    /// Whoever deploys, pauses, resumes or deletes holds it.
    pub(crate) control: tokio::sync::Mutex<()>,
}

/// What a deployment's module is.
#[derive(Clone)]
pub(crate) enum Condition {
    Compiling,
    Ready(Guest),
    Failed(String),
}

/// One deployment at work.
pub(crate) struct Deployment {
    name: DeploymentName,
    pub(crate) log: Arc<ModuleLog>,
    condition: Mutex<Condition>,
    lanes: Mutex<Lanes>,
    /// Idle instances of a router.
    instances: Mutex<Vec<Instance>>,
}

#[derive(Default)]
struct Lanes {
    stop: Option<watch::Sender<bool>>,
    tasks: Vec<JoinHandle<()>>,
    statuses: BTreeMap<LaneId, Arc<Mutex<LaneStatus>>>,
}

impl Deployment {
    fn new(name: DeploymentName) -> Self {
        Self {
            name,
            log: Arc::default(),
            condition: Mutex::new(Condition::Compiling),
            lanes: Mutex::default(),
            instances: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &DeploymentName {
        &self.name
    }

    pub(crate) fn condition(&self) -> Condition {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_condition(&self, condition: Condition) {
        *self.condition.lock().unwrap_or_else(PoisonError::into_inner) = condition;
        self.instances.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn lane_status(&self, lane: LaneId) -> Option<LaneStatus> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let status = lanes.statuses.get(&lane)?;
        Some(status.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// An idle instance, or a fresh one.
    pub(crate) fn take_instance(&self, guest: &Guest, now: Timestamp) -> Result<Instance, Failure> {
        let idle = self.instances.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| guest.logged_instance(now), Ok)
    }

    /// Gives an instance back for the next batch.
    pub(crate) fn put_instance(&self, instance: Instance) {
        let mut idle = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < ROUTER_INSTANCES_MAX {
            idle.push(instance);
        }
    }

    /// Stops the lanes; each settles and commits what it is handling first.
    pub(crate) async fn stop_lanes(&self) {
        let stopped =
            std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(stop) = &stopped.stop {
            stop.send_replace(true);
        }
        for task in stopped.tasks {
            if let Err(error) = task.await {
                tracing::error!(deployment = %self.name, %error, "a lane ended badly");
            }
        }
    }
}

impl Deployments {
    pub(crate) fn new(core: Arc<Core>, modules: Arc<Modules>) -> Self {
        Self { core, modules, by_name: RwLock::default(), control: tokio::sync::Mutex::default() }
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

    /// Makes what runs follow the catalog: loads the module of the active version, and runs the
    /// lanes of a consumer that is not paused. The caller holds the control lock, or nobody else
    /// is there yet.
    pub(crate) async fn activate(&self, name: &DeploymentName) {
        let deployment = self.get_or_insert(name);
        deployment.stop_lanes().await;
        let catalog = self.core.views.catalog();
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
                deployment.set_condition(Condition::Ready(guest.clone()));
                if record.world == World::Consumer && record.state == DeploymentState::Running {
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
        let catalog = self.core.views.catalog();
        for (id, cursor) in self.core.views.lanes_of(record.id) {
            let Some(topic) = catalog.topic_name(id.source.topic) else { continue };
            let context = context(deployment, record, version, guest, (topic, id.source));
            let status = Arc::<Mutex<LaneStatus>>::default();
            lanes.statuses.insert(id, Arc::clone(&status));
            let core = Arc::clone(&self.core);
            let lane = Lane::new(core, Arc::new(context), (id, cursor), stopped.clone(), status);
            lanes.tasks.push(tokio::spawn(lane.run()));
        }
        *deployment.lanes.lock().unwrap_or_else(PoisonError::into_inner) = lanes;
    }

    /// Stops all lanes.
    pub(crate) async fn stop(&self) {
        let all: Vec<_> =
            self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for deployment in &all {
            let lanes = deployment.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(stop) = &lanes.stop {
                stop.send_replace(true);
            }
        }
        for deployment in all {
            deployment.stop_lanes().await;
        }
    }

    /// The module of a deployment that works; else what it is instead.
    pub(crate) fn ready(&self, catalog: &Catalog, name: &DeploymentName) -> Result<Guest, String> {
        if let Some(record) = catalog.deployment(name)
            && let DeploymentState::Paused { .. } = record.state
        {
            return Err("paused".to_owned());
        }
        match self.get(name).map(|deployment| deployment.condition()) {
            Some(Condition::Ready(guest)) => Ok(guest),
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
            let not_ready = |state| Error::RouterNotReady { deployment: name.clone(), state };
            let guest = self.ready(catalog, name).map_err(not_ready)?;
            let deployment = self.get(name).ok_or_else(|| not_ready("compiling".to_owned()))?;
            let grants = Grants::new(&version.settings.out);
            routers.push(Router { deployment, guest, grants, unrouted: version.settings.unrouted });
        }
        Ok(routers)
    }
}

fn context(
    deployment: &Deployment,
    record: &DeploymentRecord,
    version: &VersionRecord,
    guest: &Guest,
    (topic, source): (&TopicName, PartitionId),
) -> Context {
    let settings = &version.settings;
    Context {
        deployment: deployment.name.to_string(),
        version: record.active_version,
        digest: version.digest,
        topic: topic.clone(),
        partition: source.index,
        policy: Policy { max_attempts: settings.max_attempts, backoff: settings.backoff.clone() },
        grants: Grants::new(&settings.out),
        dlq: settings.dlq.clone(),
        handlers: Arc::new(guest.clone()),
        log: Arc::clone(&deployment.log),
        seed: seed(&deployment.name, topic, source.index),
    }
}

/// The seed of a lane: of names, so that it is the same wherever the lane runs.
fn seed(deployment: &DeploymentName, topic: &TopicName, partition: u32) -> u64 {
    let digest = Sha256::new()
        .chain_update(deployment.as_str())
        .chain_update([0])
        .chain_update(topic.as_str())
        .chain_update(partition.to_le_bytes())
        .finalize();
    u64::from_le_bytes(*digest.first_chunk().expect("a digest has 32 bytes"))
}
