//! Where reading starts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::span::{parse_span, shown_span};
use crate::{Error, Offset, Timestamp};

/// A place in a partition to start from.
///
/// Text: `earliest`, `latest`, the digits of an offset, `@` and a time, `-` and a span. A time is
/// that of RFC 3339 with its zone, `Z` or as in `+02:00`: without a zone it would be another moment
/// on another machine. Units of a span are `ms`, `s`, `m`, `h`, `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Position {
    /// The first record that is still there.
    Earliest,
    /// The next record to be appended.
    Latest,
    /// The record at this offset, or the first one after it.
    Offset(Offset),
    /// The first record that was appended at this time or later.
    Time(Timestamp),
    /// The first record that was appended within so many milliseconds before now, by the broker's
    /// clock.
    Ago(u64),
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let position = match text {
            "earliest" => Some(Self::Earliest),
            "latest" => Some(Self::Latest),
            _ => match text.split_at_checked(1) {
                Some(("@", time)) => Timestamp::from_rfc3339(time).map(Self::Time),
                Some(("-", span)) => parse_span(span).map(Self::Ago),
                _ => offset(text),
            },
        };
        position.ok_or_else(|| Error::Position(text.to_owned()))
    }
}

fn offset(text: &str) -> Option<Position> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).map(|offset| Position::Offset(Offset(offset)))
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Offset(offset) => offset.fmt(f),
            Self::Time(time) => write!(f, "@{}", time.to_rfc3339()),
            Self::Ago(ms) => write!(f, "-{}", shown_span(*ms)),
        }
    }
}

impl TryFrom<String> for Position {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Position> for String {
    fn from(position: Position) -> Self {
        position.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_position_reads_as_it_prints() {
        for text in [
            "earliest",
            "latest",
            "0",
            "18446744073709551615",
            "@1970-01-01T00:00:00Z",
            "@2026-07-01T12:00:00.250Z",
            "-15m",
            "-0ms",
        ] {
            assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "-1",
            "-",
            "@",
            "18446744073709551616",
            "Earliest",
            "+3",
            "@x",
            "@2026-07-01T12:00:00",
            "@1700000000000",
            "-15",
            "--15m",
            "é",
        ] {
            assert_eq!(bad.parse::<Position>(), Err(Error::Position(bad.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn any_position_that_has_a_text_comes_back(ms in 0..253_402_300_800_000_u64, n: u64) {
            for position in
                [Position::Time(Timestamp(ms)), Position::Ago(n), Position::Offset(Offset(n))]
            {
                prop_assert_eq!(position.to_string().parse::<Position>(), Ok(position));
            }
        }
    }
}
