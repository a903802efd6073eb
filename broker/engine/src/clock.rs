//! The one place of this crate that reads the wall clock; everything else takes the time as a value.

use std::time::{SystemTime, UNIX_EPOCH};

use logmill_model::Timestamp;

/// The wall clock now.
///
/// A clock before 1970 reads as the epoch: the sequencer never lets entry time go backwards, so a
/// bad clock delays retries and orders nothing.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the edge that the rule points to")]
pub fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
