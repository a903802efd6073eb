//! What a deployment remembers, over all its lanes: read back from its own partitions of `_state` and
//! `_claims` before the first of them begins, and kept while its lanes come and go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use logmill_log::Log;
use logmill_model::internal::StateRecord;
use logmill_model::limits::BATCH_BYTES_MAX;
use logmill_model::{DeploymentId, PartitionId};
use tokio::sync::OnceCell;

use crate::Error;
use crate::claims::Claims;
use crate::parts::Parts;
use crate::replay;
use crate::state::{LaneState, State};
use crate::suspects::LostRecords;

type States = BTreeMap<PartitionId, State>;

/// What a deployment remembers.
#[derive(Debug)]
pub(crate) struct Remembered {
    deployment: DeploymentId,
    is_read: OnceCell<()>,
    /// Held for a look-up, an insert or a copy only.
    lanes: Mutex<BTreeMap<PartitionId, Arc<LaneState>>>,
    /// Held for a look.
    claims: Mutex<Option<Arc<Claims>>>,
}

impl Remembered {
    /// What this deployment remembers; nothing before it is [read back](Self::read_back).
    pub(crate) fn of(deployment: DeploymentId) -> Self {
        let (is_read, lanes, claims) = Default::default();
        Self { deployment, is_read, lanes, claims }
    }

    pub(crate) fn deployment(&self) -> DeploymentId {
        self.deployment
    }

    /// Reads back what is durable, once. No lane of the deployment works before.
    ///
    /// # Errors
    /// [`Error::StandsStill`] when some of it may be lost; [`Error::Log`].
    pub(crate) async fn read_back(&self, parts: &Parts) -> Result<(), Error> {
        let read = async || {
            let Some(partition) = PartitionId::state_of(self.deployment) else { return Ok(()) };
            let log = parts.log.clone();
            let states = tokio::task::spawn_blocking(move || fold(&log, partition));
            let states = states.await.map_err(|_| Error::ShuttingDown)??;
            for (source, state) in states {
                self.lane(source).restore(state);
            }
            Ok(())
        };
        self.is_read.get_or_try_init(read).await.copied()
    }

    /// The state of the lane with this source.
    pub(crate) fn lane(&self, source: PartitionId) -> Arc<LaneState> {
        Arc::clone(self.lanes().entry(source).or_default())
    }

    /// What its lanes have claimed within such a window. With another one than before, that is to be
    /// read back again.
    pub(crate) fn claims(&self, window_ms: u64) -> Arc<Claims> {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        match &*claims {
            Some(it) if it.window_ms() == window_ms => Arc::clone(it),
            _ => Arc::clone(claims.insert(Arc::new(Claims::of(self.deployment, window_ms)))),
        }
    }

    /// Forgets its claims: they are read back when somebody asks for them again.
    pub(crate) fn forget_claims(&self) {
        *self.claims.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Has its lanes claim keys here.
    #[cfg(test)]
    pub(crate) fn set_claims(&self, claims: Arc<Claims>) {
        *self.claims.lock().unwrap_or_else(PoisonError::into_inner) = Some(claims);
    }

    /// The states of all lanes that have one, in the order of their sources.
    pub(crate) fn all(&self) -> Vec<(PartitionId, Arc<LaneState>)> {
        self.lanes().iter().map(|(source, state)| (*source, Arc::clone(state))).collect()
    }

    /// Forgets the state of a lane that has ended, when that is durable.
    pub(crate) fn forget(&self, source: PartitionId) {
        self.lanes().remove(&source);
    }

    fn lanes(&self) -> MutexGuard<'_, BTreeMap<PartitionId, Arc<LaneState>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The states that a partition of `_state` comes to. Waits for the disk.
fn fold(log: &Log, partition: PartitionId) -> Result<States, Error> {
    let (mut states, mut lost) = (States::new(), LostRecords::default());
    let from = (partition, log.start_offset(partition));
    replay::read(log, from, &mut lost, &mut |stored, _| {
        let unreadable = |source| Error::UnreadableState {
            partition,
            offset: stored.envelope.base_offset,
            source,
        };
        let records = stored.batch.decompressed(BATCH_BYTES_MAX).map_err(unreadable)?;
        for record in &records {
            let StateRecord { source, key, value } =
                StateRecord::decode(record.key, record.value).map_err(unreadable)?;
            states.entry(source).or_default().apply(key, value);
        }
        Ok(())
    })?;
    match lost.why(partition) {
        Some(why) => Err(Error::StandsStill(why.to_owned())),
        None => Ok(states),
    }
}
