//! Points in time as text: RFC 3339, as in `2026-07-01T12:00:00.250Z`.

use std::time::{Duration, UNIX_EPOCH};

use crate::Timestamp;

/// The end of the year 9999, where the format ends.
const LAST: Timestamp = Timestamp(253_402_300_799_999);
/// The length of a zone such as `+02:00`.
const ZONE_BYTES: usize = 6;

impl Timestamp {
    /// Reads a time with its zone, `Z` or as in `+02:00`. What is finer than a millisecond is cut
    /// off. `None` for anything else, also without a zone and before 1970.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        if let Some(utc) = text.strip_suffix('Z') {
            return utc_of(utc, 0);
        }
        let (local, zone) = text.split_at_checked(text.len().checked_sub(ZONE_BYTES)?)?;
        utc_of(local, zone_seconds(zone)?)
    }

    /// The time in UTC, with milliseconds where there are any. What is beyond the year 9999 shows
    /// as its end.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let at = UNIX_EPOCH + Duration::from_millis(self.min(LAST).0);
        if self.0.is_multiple_of(1000) {
            humantime::format_rfc3339_seconds(at).to_string()
        } else {
            humantime::format_rfc3339_millis(at).to_string()
        }
    }
}

/// Seconds that a zone is ahead of UTC.
fn zone_seconds(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str, max: i64| {
        let is_number = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<i64>().ok().filter(|number| is_number && *number <= max)
    };
    Some(sign * (number(hours, 23)? * 3600 + number(minutes, 59)? * 60))
}

/// The time that a clock shows which is `ahead` of UTC by so many seconds.
fn utc_of(local: &str, ahead: i64) -> Option<Timestamp> {
    // Two zones would pass as one.
    if !local.ends_with(|last: char| last.is_ascii_digit()) {
        return None;
    }
    let at = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let shown_ms = i64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?;
    u64::try_from(shown_ms - ahead * 1000).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_its_zone_and_told_in_utc() {
        for (text, ms, told) in [
            ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"),
            ("2023-11-14T22:13:20.123Z", 1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            ("2023-11-15T00:13:20.1239+02:00", 1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            ("2023-11-14T16:43:20-05:30", 1_700_000_000_000, "2023-11-14T22:13:20Z"),
            ("2024-02-29T00:00:00+00:00", 1_709_164_800_000, "2024-02-29T00:00:00Z"),
            ("9999-12-31T23:59:59.999Z", LAST.0, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_rfc3339(text), Some(Timestamp(ms)), "{text}");
            assert_eq!(Timestamp(ms).to_rfc3339(), told);
        }
        assert_eq!(Timestamp(u64::MAX).to_rfc3339(), LAST.to_rfc3339());
    }

    #[test]
    fn a_time_without_a_zone_or_of_another_form_is_none() {
        for bad in [
            "",
            "Z",
            "2023-11-14",
            "2023-11-14T22:13:20",
            "2023-11-14 22:13:20Z",
            "2023-11-14T22:13Z",
            "2023-02-29T00:00:00Z",
            "2023-11-14T22:13:20+2:00",
            "2023-11-14T22:13:20+24:00",
            "2023-11-14T22:13:20+-1:00",
            "2023-11-14T22:13:20Z+02:00",
            "2023-11-14T22:13:20é02:00",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:30:00+01:00",
            "1700000000",
        ] {
            assert_eq!(Timestamp::from_rfc3339(bad), None, "{bad}");
        }
    }
}
