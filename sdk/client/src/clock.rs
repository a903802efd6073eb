//! The one place where the time of day enters.

use std::time::{SystemTime, UNIX_EPOCH};

use logmill_model::Timestamp;

/// Now, for records that their maker did not date.
#[expect(clippy::disallowed_methods, reason = "an application's records are dated at its edge")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
