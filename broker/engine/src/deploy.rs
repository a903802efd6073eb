//! Deploying, pausing, resuming and deleting deployments.

mod broken;
mod describe;
mod ended;
mod lag;
pub(crate) mod lost;
mod reset;
mod settings;
mod state;

use std::collections::{BTreeMap, BTreeSet};

use logmill_model::internal::{
    CatalogRecord, CursorsRecord, DeploymentRecord, SegmentsRecord, VersionRecord,
};
use logmill_model::{
    CommitClass, DeployRequest, Deployed, DeploymentId, DeploymentName, DeploymentState, LaneId,
    Offset, PartitionId, Position, Precondition, StartOffset, TopicName, TopicPolicy, World,
};
use logmill_wasm::Module;

use crate::catalog::Catalog;
use crate::cursors::LaneCursor;
use crate::handler::Guest;
use crate::parts::CatalogChange;
use crate::{Engine, Error};
pub use lag::Lag;

pub(crate) use broken::pause_broken;
use settings::Plan;

/// Why a deployment is paused that was deployed so, or by hand.
const BY_HAND: &str = "by hand";

impl Engine {
    /// Deploys a module under a name: a new deployment, or a new version of one, which takes over
    /// where the version before it stopped. Topics that it needs and that are missing are created.
    ///
    /// # Errors
    /// [`Error::UnknownModule`]; [`Error::DeploymentRefused`] with what does not fit. Then nothing
    /// has changed.
    pub async fn deploy(&self, request: DeployRequest) -> Result<Deployed, Error> {
        let engine = self.clone();
        to_its_end(async move { engine.deploy_in_turn(request).await }).await
    }

    async fn deploy_in_turn(&self, request: DeployRequest) -> Result<Deployed, Error> {
        let _control = self.deployments().control.lock().await;
        let module = self.shared_modules().get(request.digest).await?;
        let plan = Plan::of(&request, &module, &self.parts().views.catalog())?;
        self.try_init(&plan, &module).await?;
        let name = &request.name;
        if let Some(running) = self.deployments().get(name) {
            running.stop_lanes().await;
        }
        let deployed = match self.clear_state(name).await {
            Ok(()) => self.commit_deploy(&request, &plan).await,
            Err(error) => Err(error),
        };
        if deployed.is_ok()
            && let Err(error) = self.clear_state(name).await
        {
            tracing::warn!(deployment = %name, %error, "what ended lanes remember is deleted with the next deploy");
        }
        // Also when it was refused: the lanes that were stopped go on.
        self.deployments().activate(name).await;
        if deployed.is_err() && self.parts().views.catalog().deployment(name).is_none() {
            self.deployments().remove(name);
        }
        let deployed = deployed?;
        tracing::info!(deployment = %name, version = deployed.version, digest = %deployed.digest, "deployed");
        Ok(deployed)
    }

    async fn commit_deploy(&self, request: &DeployRequest, plan: &Plan) -> Result<Deployed, Error> {
        let starts = self.timed_starts(plan).await?;
        self.parts()
            .change_catalog(|catalog| self.plan_deploy(request, plan, &starts, catalog))
            .await
    }

    /// Where lanes start when that is said by a time: looked up before the change of the catalog,
    /// which does not wait for the disk. A partition that is made later has nothing to look up.
    async fn timed_starts(&self, plan: &Plan) -> Result<BTreeMap<PartitionId, Offset>, Error> {
        let from = plan.settings.from;
        let mut starts = BTreeMap::new();
        if !matches!(from, Position::Time(_) | Position::Ago(_)) {
            return Ok(starts);
        }
        for name in &plan.settings.on {
            let Ok(topic) = self.parts().topic(name) else { continue };
            for index in 0..topic.partitions {
                let partition = PartitionId::new(topic.id, index);
                starts.insert(partition, self.parts().position(partition, from).await?);
            }
        }
        Ok(starts)
    }

    /// Makes one instance, so that a module whose init fails is refused now and not in production.
    async fn try_init(&self, plan: &Plan, module: &Module) -> Result<(), Error> {
        let guest = Guest {
            module: module.clone(),
            world: plan.settings.world,
            limits: plan.limits,
            config: plan.settings.config.clone().into(),
            log: std::sync::Arc::default(),
        };
        let now = self.parts().clock.now();
        let made = self.parts().pool.run(move || guest.logged_instance(now).map(drop)).await?;
        made.map_err(|failure| {
            Error::DeploymentRefused(format!("the module's init failed: {failure}"))
        })
    }

    fn plan_deploy(
        &self,
        request: &DeployRequest,
        plan: &Plan,
        starts: &BTreeMap<PartitionId, Offset>,
        catalog: &Catalog,
    ) -> Result<(CatalogChange, Deployed), Error> {
        let mut change = CatalogChange::default();
        for topic in plan.topics() {
            if catalog.topic(topic).is_none() {
                if !self.options().create_topics {
                    return Err(Error::UnknownTopic(topic.clone()));
                }
                change.create_topic(catalog, topic, 1, TopicPolicy::default());
            }
        }
        let name = &request.name;
        let existing = catalog.deployment(name);
        let id = existing.map_or_else(|| DeploymentId(change.next_place(catalog)), |it| it.id);
        if PartitionId::claims_of(id).is_none() {
            // Four billion changes of the catalog ago there was none yet.
            return Err(Error::DeploymentRefused("the broker has no place for new ones".into()));
        }
        let version = catalog.version_numbers(name).last().copied().unwrap_or(0) + 1;
        let paused = DeploymentState::Paused { reason: BY_HAND.to_owned() };
        change.catalog.push(CatalogRecord::Deployment(
            name.clone(),
            Some(DeploymentRecord {
                id,
                world: plan.settings.world,
                active_version: version,
                state: if request.paused { paused } else { DeploymentState::Running },
                limits: plan.limits,
            }),
        ));
        change.catalog.push(CatalogRecord::Version(
            name.clone(),
            version,
            Some(VersionRecord {
                digest: request.digest,
                settings: plan.settings.clone(),
                created_ts: self.parts().clock.now(),
            }),
        ));
        let start = if plan.settings.world == World::Consumer {
            let from = match plan.settings.from {
                // An offset was meant for the sources that the first version had.
                Position::Offset(_) if existing.is_some() => Position::Latest,
                from => from,
            };
            let start = |partition| match self.parts().untimed_position(partition, from)? {
                Some(offset) => Ok(offset),
                None => Ok(starts.get(&partition).copied().unwrap_or_default()),
            };
            self.plan_lanes((id, &plan.settings.on), start, catalog, &mut change)?
        } else {
            Vec::new()
        };
        let digest = request.digest;
        Ok((change, Deployed { name: name.clone(), version, digest, start }))
    }

    /// A cursor for each new lane; kept lanes keep theirs, and those of dropped sources end.
    fn plan_lanes(
        &self,
        (id, on): (DeploymentId, &[TopicName]),
        start_of: impl Fn(PartitionId) -> Result<Offset, Error>,
        catalog: &Catalog,
        change: &mut CatalogChange,
    ) -> Result<Vec<StartOffset>, Error> {
        let mut with_new_topics = catalog.clone();
        for record in &change.catalog {
            with_new_topics.apply(record);
        }
        let wanted: BTreeSet<LaneId> = with_new_topics.lanes(id, on).into_iter().collect();
        let mut start = Vec::new();
        for lane in &wanted {
            let next = match self.parts().views.cursor(*lane) {
                Some(cursor) => cursor.floor(),
                None => {
                    let next = start_of(lane.source)?;
                    change.start_lane(*lane, next);
                    next
                }
            };
            let topic = with_new_topics.topic_name(lane.source.topic).cloned();
            let topic = topic.ok_or_else(|| Error::DeploymentRefused("a source is gone".into()))?;
            start.push(StartOffset { topic, partition: lane.source.index, offset: next });
        }
        for (lane, cursor) in self.parts().views.lanes_of(id) {
            if !wanted.contains(&lane) {
                change.end_lane(lane, &cursor);
            }
        }
        Ok(start)
    }

    /// Pauses a deployment: what is being handled is settled first.
    ///
    /// # Errors
    /// [`Error::UnknownDeployment`].
    pub async fn pause(&self, name: &DeploymentName) -> Result<(), Error> {
        self.set_state(name, DeploymentState::Paused { reason: BY_HAND.to_owned() }).await
    }

    /// Lets a paused deployment work again, and tries a failed one again. Lanes that are lost stay so:
    /// see [`resume_skipping_lost`](Self::resume_skipping_lost).
    ///
    /// # Errors
    /// [`Error::UnknownDeployment`].
    pub async fn resume(&self, name: &DeploymentName) -> Result<(), Error> {
        self.set_state(name, DeploymentState::Running).await
    }

    async fn set_state(&self, name: &DeploymentName, state: DeploymentState) -> Result<(), Error> {
        let (engine, name) = (self.clone(), name.clone());
        to_its_end(async move { engine.set_state_in_turn(&name, state).await }).await
    }

    async fn set_state_in_turn(
        &self,
        name: &DeploymentName,
        state: DeploymentState,
    ) -> Result<(), Error> {
        let _control = self.deployments().control.lock().await;
        self.commit_state(name, state).await?;
        self.deployments().activate(name).await;
        Ok(())
    }

    async fn commit_state(
        &self,
        name: &DeploymentName,
        state: DeploymentState,
    ) -> Result<(), Error> {
        self.parts()
            .change_catalog(|catalog| {
                let record = catalog
                    .deployment(name)
                    .ok_or_else(|| Error::UnknownDeployment(name.clone()))?;
                let class = match state {
                    DeploymentState::Paused { .. } => CommitClass::Housekeeping,
                    DeploymentState::Running => CommitClass::Progress,
                };
                let mut change = CatalogChange { class, ..CatalogChange::default() };
                if record.state != state {
                    let record = DeploymentRecord { state: state.clone(), ..(**record).clone() };
                    change.catalog.push(CatalogRecord::Deployment(name.clone(), Some(record)));
                }
                Ok((change, ()))
            })
            .await
    }

    /// Deletes a deployment with its versions and cursors. Its topics stay.
    ///
    /// # Errors
    /// [`Error::UnknownDeployment`].
    pub async fn delete_deployment(&self, name: &DeploymentName) -> Result<(), Error> {
        let (engine, name) = (self.clone(), name.clone());
        to_its_end(async move { engine.delete_in_turn(&name).await }).await
    }

    async fn delete_in_turn(&self, name: &DeploymentName) -> Result<(), Error> {
        let _control = self.deployments().control.lock().await;
        if let Some(running) = self.deployments().get(name) {
            running.stop_lanes().await;
        }
        let deleted = self
            .parts()
            .change_catalog(|catalog| {
                let record = catalog
                    .deployment(name)
                    .ok_or_else(|| Error::UnknownDeployment(name.clone()))?;
                let class = CommitClass::Housekeeping;
                let mut change = CatalogChange { class, ..CatalogChange::default() };
                change.catalog.push(CatalogRecord::Deployment(name.clone(), None));
                for number in catalog.version_numbers(name) {
                    change.catalog.push(CatalogRecord::Version(name.clone(), number, None));
                }
                for (lane, cursor) in self.parts().views.lanes_of(record.id) {
                    change.end_lane(lane, &cursor);
                }
                // What retention has said of it, or says until this is sequenced.
                let starts = record.partition_ids().map(|it| SegmentsRecord::Start(it, None));
                change.segments.extend(starts);
                Ok((change, ()))
            })
            .await;
        match &deleted {
            Ok(()) => self.deployments().remove(name),
            Err(Error::UnknownDeployment(_)) => {}
            Err(_) => self.deployments().activate(name).await,
        }
        deleted
    }
}

/// Does all of it, also when whoever asked is gone half-way: lanes that were stopped for a change
/// must be started again after it.
async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::spawn(change).await;
    done.map_err(|_| Error::Panicked("a change of a deployment did not come to its end"))?
}

impl CatalogChange {
    fn start_lane(&mut self, lane: LaneId, next: Offset) {
        let cursor = LaneCursor::new(1, next).record;
        self.cursors.push(CursorsRecord::Cursor(lane, Some(cursor)));
        self.preconditions.push(Precondition::Cursor { lane, generation: 0, revision: 0 });
    }

    fn end_lane(&mut self, lane: LaneId, cursor: &LaneCursor) {
        let (generation, revision) = (cursor.record.generation, cursor.record.revision);
        self.cursors.push(CursorsRecord::Cursor(lane, None));
        self.preconditions.push(Precondition::Cursor { lane, generation, revision });
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_change_comes_to_its_end_when_whoever_asked_is_gone() {
        let (begin, begun) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel();
        let change = to_its_end(async move {
            begun.await.unwrap();
            end.send(()).unwrap();
            Ok(())
        });
        tokio::select! {
            biased;
            _ = change => unreachable!("it has not begun"),
            () = tokio::task::yield_now() => {}
        }
        begin.send(()).unwrap();
        ended.await.unwrap();
    }
}
