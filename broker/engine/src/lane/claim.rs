//! Keys that the lanes of a deployment claim from one another: waiting for one, and letting go of old ones.

use std::time::Duration;

use super::Lane;
use crate::claims::{Claims, Fingerprint};
use crate::limits::EXPIRE_EVERY;
use crate::parts::Parts;
use crate::seed::mix;

/// The longest that a lane gives way to another, as a power of two milliseconds.
const GIVEN_WAY_MAX: u32 = 6;

impl Lane {
    /// Waits until nobody else holds a key. It holds none itself meanwhile, so nobody waits for it.
    ///
    /// Two lanes that want two keys in opposite orders may meet again when both come back at once: so
    /// each time it waits a little longer, and not as long as the other.
    pub(super) async fn wait_for_claim(&mut self, key: Fingerprint) {
        self.report(0, None);
        let turn = mix(self.context.seed, self.cursor.next.0, self.held_up);
        let wait = turn % (1 << self.held_up.min(GIVEN_WAY_MAX));
        self.held_up += 1;
        let claims = &self.memory.claims;
        let is_free = async {
            claims.until_free(key, self.id.source).await;
            tokio::time::sleep(Duration::from_millis(wait)).await;
        };
        tokio::select! {
            () = is_free => {}
            _ = self.stop.wait_for(|stop| *stop) => {}
        }
    }
}

/// Lets go of claims after a while: who has nothing to do claims nothing, and would keep them.
pub(super) async fn expire_later(claims: &Claims, parts: &Parts) {
    tokio::time::sleep(EXPIRE_EVERY).await;
    while claims.expire(parts.entry_time()) {
        tokio::task::yield_now().await;
    }
}
