//! Times and sizes as people write them.

/// Milliseconds of a time such as `250ms`, `1s`, `30s`, `5m`, `2h`, `7d`.
///
/// # Errors
/// Text for a person, when it is no such time.
///
/// ```
/// assert_eq!(logmill_build::parse_ms("1s"), Ok(1000));
/// ```
pub fn parse_ms(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 5] =
        [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    scaled(text, &UNITS)
        .ok_or_else(|| format!("bad time {text:?}; write a number and ms, s, m, h or d, as in 1s"))
}

/// Bytes of a size such as `65536`, `512KiB`, `64MiB`, `2GiB`, `10MB`.
///
/// # Errors
/// Text for a person, when it is no such size.
///
/// ```
/// assert_eq!(logmill_build::parse_bytes("64MiB"), Ok(64 << 20));
/// ```
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 8] = [
        ("", 1),
        ("B", 1),
        ("KB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
    ];
    scaled(text, &UNITS).ok_or_else(|| {
        format!("bad size {text:?}; write a number and KiB, MiB or GiB, as in 64MiB")
    })
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, ms) in [("0ms", 0), ("250ms", 250), ("1s", 1000), ("5m", 300_000)] {
            assert_eq!(parse_ms(text), Ok(ms), "{text}");
        }
        for bad in ["", "1", "s", "1.5s", "-1s", "1 s", "1y", "18446744073709551615d"] {
            assert!(parse_ms(bad).unwrap_err().contains("bad time"), "{bad}");
        }
    }

    #[test]
    fn sizes_may_be_bare_numbers_of_bytes() {
        for (text, bytes) in [("0", 0), ("65536", 65_536), ("2KB", 2000), ("2KiB", 2048)] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for bad in ["", "KiB", "1kib", "1.5MiB", "-1", "18446744073709551615GiB"] {
            assert!(parse_bytes(bad).unwrap_err().contains("bad size"), "{bad}");
        }
    }
}
