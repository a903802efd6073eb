//! What deployments tell of themselves.

use logmill_model::internal::FailedAttempts;
use logmill_model::{
    Counts, DeploymentDescription, DeploymentName, DeploymentState, DeploymentStatus,
    LaneDescription, LaneState, LostOffsets, ModuleLogLine, Offset, Order, Timestamp,
};

use crate::catalog::Catalog;
use crate::deployments::Condition;
use crate::{Engine, Error};

impl Engine {
    /// All deployments, by name.
    #[must_use]
    pub fn describe_deployments(&self) -> Vec<DeploymentDescription> {
        let catalog = self.parts().views.catalog();
        catalog.deployments().filter_map(|(name, _)| self.describe(&catalog, name)).collect()
    }

    /// One deployment.
    ///
    /// # Errors
    /// [`Error::UnknownDeployment`].
    pub fn describe_deployment(
        &self,
        name: &DeploymentName,
    ) -> Result<DeploymentDescription, Error> {
        let catalog = self.parts().views.catalog();
        self.describe(&catalog, name).ok_or_else(|| self.parts().suspects.no_deployment(name))
    }

    fn describe(&self, catalog: &Catalog, name: &DeploymentName) -> Option<DeploymentDescription> {
        let record = catalog.deployment(name)?;
        let version = catalog.active_version(name)?;
        let running = self.deployments().get(name);
        let condition = running.as_ref().map_or(Condition::Compiling, |it| it.condition());
        let stands_still = self.parts().suspects.everything();
        let (state, reason) = match (&record.state, condition) {
            _ if let Some(why) = stands_still => (DeploymentStatus::Paused, Some(why.to_owned())),
            (_, Condition::Failed(reason)) => (DeploymentStatus::Failed, Some(reason)),
            (DeploymentState::Paused { reason }, _) => {
                (DeploymentStatus::Paused, Some(reason.clone()))
            }
            (DeploymentState::Running, Condition::Compiling) => (DeploymentStatus::Compiling, None),
            (DeploymentState::Running, Condition::Ready(_)) => (DeploymentStatus::Running, None),
        };
        let (mut counts, mut lanes) = (Counts::default(), Vec::new());
        for (lane, cursor) in self.parts().views.lanes_of(record.id) {
            counts.add(&cursor.record.counts);
            let Some(topic) = catalog.topic_name(lane.source.topic) else { continue };
            let lost = self.parts().lost(lane, &cursor);
            let status = running.as_ref().and_then(|it| it.lane_status(lane)).unwrap_or_default();
            lanes.push(LaneDescription {
                topic: topic.clone(),
                partition: lane.source.index,
                cursor: cursor.floor(),
                lag: self.parts().lag(lane, &cursor),
                parked: cursor.parked(),
                in_flight: status.in_flight,
                state: match lost {
                    _ if status.is_corrupt => LaneState::Corrupt,
                    Some(_) => LaneState::Lost,
                    None => LaneState::Running,
                },
                lost: status.lost.or(lost),
                waiting: status.waiting.or_else(|| Some(is_lost(name, lost?))).or_else(|| {
                    let is_held = version.settings.order == Order::Partition;
                    let (offset, failed) = cursor.first_failed().filter(|_| is_held)?;
                    Some(waits_for(offset, failed, self.parts().clock.now()))
                }),
            });
        }
        Some(DeploymentDescription {
            name: name.clone(),
            world: record.world,
            state,
            reason,
            active_version: record.active_version,
            digest: version.digest,
            settings: version.settings.clone(),
            limits: record.limits,
            sources: version.settings.on.clone(),
            lanes,
            counts,
        })
    }

    /// Lines of a deployment's log after number `after`, at most `max`; with `wait`, waits until
    /// there is one.
    ///
    /// # Errors
    /// [`Error::UnknownDeployment`].
    pub async fn module_log(
        &self,
        name: &DeploymentName,
        after: Option<u64>,
        max: usize,
        wait: bool,
    ) -> Result<Vec<ModuleLogLine>, Error> {
        let unknown = || self.parts().suspects.no_deployment(name);
        let log = std::sync::Arc::clone(&self.deployments().get(name).ok_or_else(unknown)?.log);
        Ok(if wait { log.next(after, max).await } else { log.read(after, max) })
    }
}

/// Why a lane stands at a record that failed, for a person.
fn waits_for(offset: Offset, failed: &FailedAttempts, now: Timestamp) -> String {
    let FailedAttempts { attempts, retry_at, .. } = failed;
    let ms = now.ms_until(*retry_at);
    format!(
        "offset {offset} failed {attempts} times, tried again in {ms} ms; the module's log says why"
    )
}

/// Why a lane is lost, for a person.
fn is_lost(name: &DeploymentName, LostOffsets { from, to }: LostOffsets) -> String {
    format!(
        "retention removed the records before {to} and {from} was the next to be handled; \
         `logmill module resume {name} --skip-lost` goes on at {to}"
    )
}
