//! Before a lane begins: what it remembers is read back.

use super::Lane;
use crate::Error;
use crate::claims::Claims;
use crate::limits::LANE_RETRY_WAIT;
use crate::parts::Parts;
use crate::remembered::Remembered;
use crate::state::Changes;

impl Lane {
    /// Reads back what the lane remembers; false when it is told to stop before that is there.
    pub(super) async fn recall(&mut self) -> bool {
        while !self.is_stopped() {
            let (remembered, claims) = (&self.context.remembered, &self.memory.claims);
            let read = tokio::select! {
                read = read_back(remembered, claims, &self.parts) => read,
                _ = self.stop.wait_for(|stop| *stop) => return false,
            };
            match read {
                Ok(()) => {
                    self.memory.state.apply(Changes::new(), self.cursor.revision);
                    return true;
                }
                // Only the next start finds that the loss was accepted.
                Err(Error::StandsStill(why)) => {
                    self.report_corrupt(why, None);
                    self.wait_for_stop().await;
                }
                Err(error) => {
                    self.report(0, Some(error.to_string()));
                    self.turn_away();
                    self.wait(LANE_RETRY_WAIT).await;
                }
            }
        }
        false
    }
}

async fn read_back(remembered: &Remembered, claims: &Claims, parts: &Parts) -> Result<(), Error> {
    remembered.read_back(parts).await?;
    claims.read_back(parts).await
}
