//! What lanes remember that have ended: it is deleted, so that one that comes back begins with nothing.

use std::sync::Arc;

use logmill_model::{
    Append, Commit, CommitClass, DeploymentId, DeploymentName, LaneId, PartitionId, Record,
};

use crate::batches::batches;
use crate::remembered::Remembered;
use crate::state::LaneState;
use crate::{Engine, Error};

impl Engine {
    /// Deletes what lanes of a deployment remember that have ended: one that comes back begins with
    /// nothing. Called before lanes are made, since nobody else keeps them from finding it.
    pub(super) async fn clear_state(&self, name: &DeploymentName) -> Result<(), Error> {
        let Ok(deployment) = self.deployment_id(name) else { return Ok(()) };
        // What is new has no lanes that have ended.
        if self.deployments().get(name).is_none() {
            return Ok(());
        }
        let Some(partition) = PartitionId::state_of(deployment) else { return Ok(()) };
        let remembered = self.remembered(name, deployment).await?;
        for (source, state) in remembered.all() {
            if self.parts().views.cursor(LaneId { deployment, source }).is_some() {
                continue;
            }
            self.delete_state(partition, source, &state).await?;
            remembered.forget(source);
        }
        Ok(())
    }

    /// Deletes what these lanes of a deployment remember, none of which is at work.
    pub(super) async fn forget_state(
        &self,
        name: &DeploymentName,
        lanes: &[LaneId],
    ) -> Result<(), Error> {
        for LaneId { deployment, source } in lanes {
            let Some(partition) = PartitionId::state_of(*deployment) else { continue };
            let remembered = self.remembered(name, *deployment).await?;
            self.delete_state(partition, *source, &remembered.lane(*source)).await?;
            remembered.forget(*source);
        }
        Ok(())
    }

    async fn delete_state(
        &self,
        partition: PartitionId,
        source: PartitionId,
        state: &LaneState,
    ) -> Result<(), Error> {
        let deletions: Vec<Record> = state.read().deletions(source).collect();
        for batch in batches(deletions)? {
            let appends = vec![Append::new(partition, batch)];
            let class = CommitClass::Housekeeping;
            self.parts().commit(Commit { appends, class, ..Commit::default() }).await?;
        }
        Ok(())
    }

    pub(super) fn deployment_id(&self, name: &DeploymentName) -> Result<DeploymentId, Error> {
        let catalog = self.parts().views.catalog();
        let record =
            catalog.deployment(name).ok_or_else(|| self.parts().suspects.no_deployment(name))?;
        Ok(record.id)
    }

    /// What a deployment remembers, read back.
    pub(super) async fn remembered(
        &self,
        name: &DeploymentName,
        id: DeploymentId,
    ) -> Result<Arc<Remembered>, Error> {
        let deployment = self.deployments().get(name);
        let deployment = deployment.ok_or_else(|| self.parts().suspects.no_deployment(name))?;
        let remembered = deployment.remembered(id);
        remembered.read_back(self.parts()).await?;
        Ok(remembered)
    }
}
