//! Spans of time as text: `250ms`, `1s`, `5m`, `2h`, `7d`.

/// From the longest.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Milliseconds of a span; `None` for anything else.
pub(crate) fn parse_span(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

/// A span in the longest unit that tells it exactly.
#[must_use]
pub fn shown_span(ms: u64) -> String {
    let longest = UNITS.iter().find(|(_, scale)| ms.is_multiple_of(*scale) && ms > 0);
    let (name, scale) = longest.unwrap_or(&("ms", 1));
    format!("{}{name}", ms / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reads_as_it_is_shown() {
        for (text, ms) in [
            ("0ms", 0),
            ("1500ms", 1500),
            ("90s", 90_000),
            ("15m", 900_000),
            ("36h", 129_600_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!((parse_span(text), shown_span(ms).as_str()), (Some(ms), text));
        }
        assert_eq!(parse_span("60s"), parse_span("1m"));
        for bad in ["", "1", "s", "1.5s", "-1s", "1 s", "1y", "18446744073709551615d"] {
            assert_eq!(parse_span(bad), None, "{bad}");
        }
    }
}
