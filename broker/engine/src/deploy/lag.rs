//! How far deployments are behind, for the metrics.

use logmill_log::Log;
use logmill_model::{
    DeploymentName, DeploymentState, LaneId, Offset, PartitionId, Timestamp, World,
};

use crate::Engine;
use crate::cursors::LaneCursor;
use crate::parts::Parts;

/// How far a consumer is behind, over all its lanes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// The deployment.
    pub name: DeploymentName,
    /// Whether it is meant to run.
    pub runs: bool,
    /// Records without an outcome.
    pub records: u64,
    /// Those of them that wait for another attempt, or for one of their key that does.
    pub parked: u64,
    /// How long the oldest of them has been there that was not redriven, in milliseconds; None when it
    /// can't be read.
    pub age_ms: Option<u64>,
}

impl Engine {
    /// How far each consumer is behind. May read a batch of each lane that is: not for an async task.
    #[must_use]
    pub fn lags(&self) -> Vec<Lag> {
        let catalog = self.parts().views.catalog();
        let consumers = catalog.deployments().filter(|(_, it)| it.world == World::Consumer);
        let now = self.parts().clock.now();
        consumers
            .map(|(name, record)| {
                let runs = record.state == DeploymentState::Running;
                let (records, parked, age_ms) = (0, 0, Some(0));
                let mut lag = Lag { name: name.clone(), runs, records, parked, age_ms };
                for (lane, cursor) in self.parts().views.lanes_of(record.id) {
                    let end = self.parts().log.end_offset(lane.source);
                    lag.records += self.parts().lag(lane, &cursor);
                    lag.parked += cursor.parked();
                    // What was redriven is behind for other reasons than that it is old.
                    if cursor.floor() < end {
                        let since = appended(&self.parts().log, lane.source, cursor.floor());
                        let age_ms = since.map(|since| since.ms_until(now));
                        lag.age_ms = lag.age_ms.zip(age_ms).map(|(a, b)| a.max(b));
                    }
                }
                lag
            })
            .collect()
    }
}

impl Parts {
    /// How many records of a lane's source have no outcome. What is lost with what is corrupt is none.
    pub(crate) fn lag(&self, lane: LaneId, cursor: &LaneCursor) -> u64 {
        let untouched = cursor.record.next..self.log.end_offset(lane.source);
        cursor.lag(self.log.count_outside_losses(lane.source, untouched))
    }
}

/// When the first record from this offset on was appended.
fn appended(log: &Log, partition: PartitionId, from: Offset) -> Option<Timestamp> {
    let batches = match log.read_tail(partition, from, 1) {
        Some(batches) => batches,
        None => log.read(partition, from, 1).ok()?,
    };
    Some(batches.first()?.envelope.append_ts)
}
