//! Amounts and pairs as people type them: `64MiB`, `1s`, `name=value`.

pub(crate) use logmill_build::{parse_bytes, parse_ms};

/// A name and its value, as in `team=core`. The value may hold further equals signs.
pub(crate) fn parse_assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("bad assignment {text:?}; use NAME=VALUE")),
    }
}

/// A rate as in `20000/s`.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    match number.parse() {
        Ok(rate) if rate > 0 => Ok(rate),
        _ => Err(format!("bad rate {text:?}; write how many a second, as in 20000/s")),
    }
}

/// How often something was tried.
pub(crate) fn shown_attempts(attempts: u32) -> String {
    if attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") }
}

/// A size as people read it.
pub(crate) fn shown_bytes(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_ends_its_name_at_the_first_equals_sign() {
        for (text, name, value) in [("a=b", "a", "b"), ("a=", "a", ""), ("a=b=c", "a", "b=c")] {
            assert_eq!(parse_assignment(text), Ok((name.to_owned(), value.to_owned())));
        }
        for bad in ["", "a", "=b"] {
            assert!(parse_assignment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rate_is_so_many_a_second() {
        assert_eq!(parse_rate("20000/s"), Ok(20_000));
        assert_eq!(parse_rate("5"), Ok(5));
        for bad in ["", "0/s", "-1/s", "1.5/s", "5/m", "/s"] {
            assert!(parse_rate(bad).unwrap_err().contains("as in 20000/s"), "{bad}");
        }
    }

    #[test]
    fn times_and_sizes_have_the_manuals_units() {
        for (text, ms) in [("250ms", 250), ("30s", 30_000), ("1m", 60_000), ("1d", 86_400_000)] {
            assert_eq!(parse_ms(text), Ok(ms), "{text}");
        }
        for (text, bytes) in [("4096", 4096), ("64MiB", 64 << 20), ("10MB", 10_000_000)] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for bad in ["", "x", "-1", "5 lightyears"] {
            assert!(parse_ms(bad).is_err() && parse_bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(shown_bytes(64 << 20), "64.0 MiB");
    }
}
