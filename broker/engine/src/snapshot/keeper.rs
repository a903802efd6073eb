//! Writes snapshots while the broker runs: a task that no commit waits for.

use std::sync::Arc;

use logmill_log::storage::Storage;
use logmill_model::ClusterId;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{capture, write};
use crate::limits::{SNAPSHOT_EVERY, SNAPSHOT_LOG_BYTES};
use crate::parts::Parts;

/// Writes a snapshot when the log has grown by [`SNAPSHOT_LOG_BYTES`] since the one before.
#[derive(Clone)]
pub(crate) struct Keeper {
    parts: Arc<Parts>,
    storage: Arc<dyn Storage>,
    cluster: ClusterId,
}

impl Keeper {
    pub(crate) fn new(parts: Arc<Parts>, storage: Arc<dyn Storage>, cluster: ClusterId) -> Self {
        Self { parts, storage, cluster }
    }

    /// Works until `stop`. `read_bytes` of internal topics were read at the start: so much work
    /// does the next start save.
    pub(crate) fn start(&self, read_bytes: u64, mut stop: watch::Receiver<bool>) -> JoinHandle<()> {
        let keeper = self.clone();
        tokio::spawn(async move {
            let mut written_at = 0;
            let mut due = read_bytes >= SNAPSHOT_LOG_BYTES;
            loop {
                if due && keeper.keep().await {
                    written_at = keeper.parts.log.stats().bytes;
                }
                tokio::select! {
                    () = tokio::time::sleep(SNAPSHOT_EVERY) => {}
                    _ = stop.wait_for(|stop| *stop) => return,
                }
                due =
                    keeper.parts.log.stats().bytes.saturating_sub(written_at) >= SNAPSHOT_LOG_BYTES;
            }
        })
    }

    /// Writes a snapshot of the state now; tells whether there is one.
    pub(crate) async fn keep(&self) -> bool {
        let keeper = self.clone();
        tokio::task::spawn_blocking(move || keeper.keep_now()).await.unwrap_or(false)
    }

    fn keep_now(&self) -> bool {
        // The next start must find again what is lost: a snapshot would lead it around that.
        if self.parts.suspects.are_records_lost() {
            return false;
        }
        let snapshot = match capture(&self.parts.views, &self.parts.log, self.cluster) {
            Ok(Some(snapshot)) => snapshot,
            Ok(None) => return false,
            Err(error) => {
                tracing::warn!(%error, "no snapshot: the log can't tell where it stands");
                return false;
            }
        };
        if let Err(error) = write(&*self.storage, &snapshot) {
            tracing::warn!(%error, "a snapshot can't be written; the next start takes longer");
            return false;
        }
        true
    }
}
