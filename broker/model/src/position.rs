//! Where reading starts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Offset};

/// A place in a partition to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Position {
    /// The first record that is still there.
    Earliest,
    /// The next record to be appended.
    Latest,
    /// The record at this offset, or the first one after it.
    Offset(Offset),
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            _ if text.bytes().all(|b| b.is_ascii_digit()) => text
                .parse()
                .map(|offset| Self::Offset(Offset(offset)))
                .map_err(|_| Error::Position(text.to_owned())),
            _ => Err(Error::Position(text.to_owned())),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Offset(offset) => offset.fmt(f),
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
    use super::*;

    #[test]
    fn a_position_reads_as_it_prints() {
        for text in ["earliest", "latest", "0", "18446744073709551615"] {
            assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
        }
        for bad in ["", "-1", "18446744073709551616", "Earliest", "+3", "@x"] {
            assert_eq!(bad.parse::<Position>(), Err(Error::Position(bad.to_owned())));
        }
    }
}
