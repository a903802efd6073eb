//! Pausing deployments whose module breaks on every record.

use logmill_model::{DeploymentName, DeploymentState};
use tokio::sync::{mpsc, watch};

use super::to_its_end;
use crate::engine::WeakEngine;
use crate::lane::broken::Alarm;
use crate::limits::LANE_RETRY_WAIT;
use crate::{Engine, Error};

/// Pauses what is asked for, until the engine stops. Lanes that ask stand until they are stopped.
pub(crate) async fn pause_broken(
    engine: WeakEngine,
    mut alarms: mpsc::Receiver<Alarm>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let alarm = tokio::select! {
            alarm = alarms.recv() => alarm,
            _ = stop.wait_for(|stop| *stop) => None,
        };
        let Some(alarm) = alarm else { return };
        while let Some(engine) = engine.upgrade() {
            let paused = tokio::select! {
                paused = engine.pause_alarmed(&alarm) => paused,
                // Whoever stops the engine waits for this, and may be whom a pause waits for.
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let Err(error) = paused else { break };
            tracing::error!(deployment = alarm.deployment, %error, "a deployment that breaks could not be paused");
            drop(engine);
            tokio::select! {
                () = tokio::time::sleep(LANE_RETRY_WAIT) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }
}

impl Engine {
    async fn pause_alarmed(&self, alarm: &Alarm) -> Result<(), Error> {
        // Its own name, which was checked when it was deployed.
        let Ok(name) = alarm.deployment.parse::<DeploymentName>() else { return Ok(()) };
        let (engine, version, reason) = (self.clone(), alarm.version, alarm.reason.clone());
        to_its_end(async move { engine.pause_version_in_turn(&name, version, reason).await }).await
    }

    /// Pauses a deployment, unless it was deployed anew, paused or deleted since.
    async fn pause_version_in_turn(
        &self,
        name: &DeploymentName,
        version: u32,
        reason: String,
    ) -> Result<(), Error> {
        let _control = self.deployments().control.lock().await;
        let catalog = self.parts().views.catalog();
        let is_meant = catalog
            .deployment(name)
            .is_some_and(|it| it.active_version == version && it.state == DeploymentState::Running);
        if !is_meant || self.is_stopping() {
            return Ok(());
        }
        tracing::error!(deployment = %name, version, reason, "deployment paused");
        self.commit_state(name, DeploymentState::Paused { reason }).await?;
        self.deployments().activate(name).await;
        Ok(())
    }
}
