//! Lanes whose next record retention has removed, and going on behind what they lost.

use logmill_model::internal::{CatalogRecord, DeploymentRecord};
use logmill_model::{
    DeploymentName, DeploymentState, LaneId, LostOffsets, Precondition, SkippedLane,
};

use super::to_its_end;
use crate::catalog::Catalog;
use crate::cursors::LaneCursor;
use crate::limits::HOLES_MAX;
use crate::parts::{CatalogChange, Parts};
use crate::{Engine, Error};

impl Parts {
    /// What a lane has lost, if its cursor lies before what is still there. A cursor that may not be
    /// its newest one proves nothing.
    pub(crate) fn lost(&self, lane: LaneId, cursor: &LaneCursor) -> Option<LostOffsets> {
        let (from, to) = (cursor.floor(), self.log.start_offset(lane.source));
        let is_lost = from < to && self.suspects.lane(lane).is_none() && !cursor.is_unknown();
        is_lost.then_some(LostOffsets { from, to })
    }
}

impl Engine {
    /// As [`resume`](Self::resume), and moves each lane that is lost to the first record that is
    /// there. What it skips is counted as `lost`, durably.
    ///
    /// # Errors
    /// [`Error::UnknownDeployment`].
    pub async fn resume_skipping_lost(
        &self,
        name: &DeploymentName,
    ) -> Result<Vec<SkippedLane>, Error> {
        let (engine, name) = (self.clone(), name.clone());
        to_its_end(async move { engine.skip_lost_in_turn(&name).await }).await
    }

    async fn skip_lost_in_turn(&self, name: &DeploymentName) -> Result<Vec<SkippedLane>, Error> {
        let _control = self.deployments().control.lock().await;
        if let Some(running) = self.deployments().get(name) {
            running.stop_lanes().await;
        }
        let skipped = self.skip_all(name).await;
        // Also when it was refused: the lanes that were stopped go on.
        if self.parts().views.catalog().deployment(name).is_some() {
            self.deployments().activate(name).await;
        }
        skipped
    }

    /// Moves all lanes that are lost, as many at a time as one commit can.
    async fn skip_all(&self, name: &DeploymentName) -> Result<Vec<SkippedLane>, Error> {
        let mut all = Vec::new();
        loop {
            let skipped =
                self.parts().change_catalog(|catalog| self.plan_skip(name, catalog)).await?;
            if skipped.is_empty() {
                return Ok(all);
            }
            all.extend(skipped);
        }
    }

    fn plan_skip(
        &self,
        name: &DeploymentName,
        catalog: &Catalog,
    ) -> Result<(CatalogChange, Vec<SkippedLane>), Error> {
        let unknown = || Error::UnknownDeployment(name.clone());
        let record = catalog.deployment(name).ok_or_else(unknown)?;
        let (mut change, mut skipped) = (CatalogChange::default(), Vec::new());
        if record.state != DeploymentState::Running {
            let running =
                DeploymentRecord { state: DeploymentState::Running, ..(**record).clone() };
            change.catalog.push(CatalogRecord::Deployment(name.clone(), Some(running)));
        }
        for (lane, cursor) in self.parts().views.lanes_of(record.id) {
            let Some(topic) = catalog.topic_name(lane.source.topic) else { continue };
            let Some(lost) = self.parts().lost(lane, &cursor) else { continue };
            if change.cursors.len() + cursor.holes.len() > HOLES_MAX && !skipped.is_empty() {
                break;
            }
            change.skip(lane, &cursor, lost);
            let (topic, partition) = (topic.clone(), lane.source.index);
            skipped.push(SkippedLane { topic, partition, lost });
        }
        Ok((change, skipped))
    }
}

impl CatalogChange {
    fn skip(&mut self, lane: LaneId, cursor: &LaneCursor, lost: LostOffsets) {
        self.cursors.extend(cursor.behind(lane, lost));
        let (generation, revision) = (cursor.record.generation, cursor.record.revision);
        self.preconditions.push(Precondition::Cursor { lane, generation, revision });
    }
}
