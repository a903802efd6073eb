//! Names that people choose.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, limits};

fn is_name(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $error:ident, |$text:ident| $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str($text: &str) -> Result<Self, Error> {
                if $valid { Ok(Self($text.to_owned())) } else { Err(Error::$error($text.to_owned())) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of a user's topic: 1 to 200 of `A-Z a-z 0-9 . _ -`, not beginning with `_`
    /// (those are the broker's internal topics), and neither `.` nor `..`.
    TopicName, TopicName,
    |text| is_name(text, limits::TOPIC_NAME_BYTES_MAX) && !text.starts_with('_') && text != "." && text != ".."
}

name! {
    /// The name of a deployment: 1 to 100 of `A-Z a-z 0-9 . _ -`, beginning with a letter or digit.
    DeploymentName, DeploymentName,
    |text| is_name(text, limits::DEPLOYMENT_NAME_BYTES_MAX)
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
}

name! {
    /// The stable name of a producer: 1 to 200 of `A-Z a-z 0-9 . _ -`.
    ProducerName, ProducerName,
    |text| is_name(text, limits::PRODUCER_NAME_BYTES_MAX)
}

impl DeploymentName {
    /// The topic of this deployment's dead letters, unless its settings name another: `NAME.dlq`.
    #[must_use]
    pub fn dead_letter_topic(&self) -> TopicName {
        TopicName(format!("{}.dlq", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_enter() {
        for good in ["a", "github.events", "A-b_9", &"x".repeat(200)] {
            assert!(good.parse::<TopicName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "_catalog", "a b", "a/b", "é", &"x".repeat(201)] {
            assert_eq!(bad.parse::<TopicName>(), Err(Error::TopicName(bad.to_owned())));
        }
        for bad in ["", "-x", ".x", "_x", &"x".repeat(101)] {
            assert_eq!(bad.parse::<DeploymentName>(), Err(Error::DeploymentName(bad.to_owned())));
        }
    }

    #[test]
    fn a_deployment_names_its_dead_letter_topic() {
        let name: DeploymentName = "triage".parse().unwrap();
        assert_eq!(name.dead_letter_topic().as_str(), "triage.dlq");
    }
}
