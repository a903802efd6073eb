//! What a lane waits for, when it does not handle records: each wait ends when it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use logmill_model::CommitClass;
use tokio::sync::OwnedSemaphorePermit;

use super::{Lane, Next, claim};

impl Lane {
    /// Stands at what was lost: only who moves the cursor by hand lets the lane go on, as a new one.
    pub(super) async fn stand(&mut self) {
        let to = self.parts.log.start_offset(self.id.source);
        tracing::error!(next = %self.cursor.next, %to, "the lane is lost: retention removed a record without an outcome");
        self.report(0, None);
        self.wait_for_stop().await;
    }

    pub(super) async fn wait_for_stop(&mut self) {
        // Whoever asks it to take something back is not kept waiting.
        self.mail.close();
        self.turn_away();
        // An error is a deployment that is gone, and stops the lane as well.
        let _ = self.stop.wait_for(|stop| *stop).await;
    }

    /// Stands until the deployment is paused: nothing more is to be given up.
    pub(super) async fn stand_broken(&mut self) {
        self.report(0, Some("the module breaks on every record; it is being paused".to_owned()));
        tokio::select! {
            () = self.context.rows.alarm(self.context.dlq.as_str()) => {}
            _ = self.stop.wait_for(|stop| *stop) => return,
        }
        self.wait_for_stop().await;
    }

    pub(super) async fn wait(&mut self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            // A sender that is gone is a deployment that is gone: the next step stops.
            _ = self.stop.wait_for(|stop| *stop) => {}
        }
    }

    pub(super) async fn wait_for_space(&mut self, class: CommitClass) {
        tokio::select! {
            () = self.parts.wait_for_space(class) => {}
            Some(redrive) = self.mail.recv() => self.opened = Some(redrive),
            _ = self.stop.wait_for(|stop| *stop) => {}
        }
    }

    /// Waits for new records, if any would be taken up, and for what is due after this long.
    pub(super) async fn wait_for_records(&mut self, due: Option<Duration>) {
        let has_room = self.has_room();
        if !has_room && let Some(why) = self.parked.fullness(self.context.parked_max) {
            self.report(0, Some(why));
        }
        let is_due = async {
            match due {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        let (claims, parts) = (&self.memory.claims, &self.parts);
        let next = self.cursor.next;
        let deleted = tokio::select! {
            there = self.ends.wait_for(|end| has_room && *end > next) => there.is_err(),
            () = is_due => false,
            Some(redrive) = self.mail.recv() => {
                self.opened = Some(redrive);
                false
            }
            () = claim::expire_later(claims, parts) => false,
            _ = self.stop.wait_for(|stop| *stop) => false,
        };
        if deleted {
            self.report(0, Some(format!("topic {} was deleted", self.context.topic)));
            self.wait_for_stop().await;
        }
    }

    /// A place among the runs of the deployment. Nobody waits for it with a commit on its way.
    pub(super) async fn slot(&mut self) -> Result<OwnedSemaphorePermit, Next> {
        if let Ok(slot) = Arc::clone(&self.context.slots).try_acquire_owned() {
            return Ok(slot);
        }
        self.settle_all().await?;
        Arc::clone(&self.context.slots).acquire_owned().await.map_err(|_| Next::End)
    }
}
