//! Points in time as people read and type them.

use std::time::{Duration, UNIX_EPOCH};

use logmill_model::Timestamp;

/// A time in UTC, to the millisecond.
pub(crate) fn shown(time: Timestamp) -> String {
    match UNIX_EPOCH.checked_add(Duration::from_millis(time.0)) {
        // Beyond the year 9999 the format ends, and a producer may say any time.
        Some(at) if time.0 < 253_402_300_800_000 => {
            humantime::format_rfc3339_millis(at).to_string()
        }
        _ => format!("{time} ms"),
    }
}

/// A span of time, to the second.
pub(crate) fn shown_span(ms: u64) -> String {
    if ms < 1000 {
        format!("{ms}ms")
    } else {
        humantime::format_duration(Duration::from_secs(ms / 1000)).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_any_number_is_shown() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (u64::MAX, "18446744073709551615 ms"),
        ] {
            assert_eq!(shown(Timestamp(ms)), text);
        }
    }

    #[test]
    fn spans_are_short() {
        for (ms, text) in [(5, "5ms"), (90_500, "1m 30s")] {
            assert_eq!(shown_span(ms), text);
        }
    }
}
