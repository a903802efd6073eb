//! The errors that a broker answers with: stable numbers.

use std::fmt;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $number:literal $text:literal $retry:ident $effects:ident;)*) => {
        /// What a broker says went wrong. Numbers are stable; `PROTOCOL.md` tells their meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[doc = $doc])* $name,)*
            /// A number that this version does not know; a fault's own bits say how to act on it.
            Unlisted(u16),
        }

        impl ErrorCode {
            /// All that this version knows, by number.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code of a number.
            #[must_use]
            pub fn from_number(number: u16) -> Self {
                match number {
                    $($number => Self::$name,)*
                    _ => Self::Unlisted(number),
                }
            }

            /// Its number.
            #[must_use]
            pub fn number(self) -> u16 {
                match self {
                    $(Self::$name => $number,)*
                    Self::Unlisted(number) => number,
                }
            }

            /// Its name, as the documents say it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Unlisted(_) => "unlisted error",
                }
            }

            /// Whether the same request may succeed later, unchanged.
            #[must_use]
            pub fn is_retryable(self) -> bool {
                match self {
                    $(Self::$name => codes!(@ $retry),)*
                    Self::Unlisted(_) => false,
                }
            }

            /// Whether it is certain that nothing happened.
            #[must_use]
            pub fn has_no_side_effects(self) -> bool {
                match self {
                    $(Self::$name => codes!(@ $effects),)*
                    Self::Unlisted(_) => false,
                }
            }
        }
    };
    (@ retry) => { true };
    (@ keep) => { false };
    (@ nothing) => { true };
    (@ perhaps) => { false };
}

codes! {
    /// The token is not one of the broker's.
    Unauthenticated = 1 "unauthenticated" keep nothing;
    /// The request breaks the protocol, or asks for what can't be.
    BadRequest = 2 "bad request" keep nothing;
    /// The broker does not speak the client's version.
    UnsupportedVersion = 3 "unsupported version" keep nothing;
    /// The broker has as much to do as it may take on.
    Overloaded = 4 "overloaded" retry nothing;
    /// The broker is stopping.
    ShuttingDown = 5 "shutting down" retry nothing;
    /// A fault of the broker's own.
    Internal = 6 "internal" keep perhaps;
    /// Whether it happened is not known; only reading back tells.
    Unknown = 7 "unknown" keep perhaps;
    /// The disk has no room.
    DiskFull = 8 "disk full" retry nothing;
    /// The records asked for are damaged on disk.
    Corrupt = 9 "corrupt" keep nothing;
    /// A name is not one that a topic or deployment may have.
    BadName = 10 "bad name" keep nothing;
    /// There is no topic of that name.
    UnknownTopic = 11 "unknown topic" keep nothing;
    /// The topic has no such partition.
    UnknownPartition = 12 "unknown partition" keep nothing;
    /// There is a topic of that name.
    TopicExists = 13 "topic exists" keep nothing;
    /// A deployment works on the topic or writes to it.
    TopicInUse = 14 "topic in use" keep nothing;
    /// The offset is not (any more) in the partition.
    OffsetOutOfRange = 15 "offset out of range" keep nothing;
    /// A partition has what its topic's policy lets it have, and rejects more.
    TopicFull = 16 "topic full" retry nothing;
    /// A partition does not end where the request expects.
    EndMoved = 17 "end moved" keep nothing;
    /// A batch breaks its layout.
    MalformedBatch = 20 "malformed batch" keep nothing;
    /// A batch's bytes are not those that its checksum was made of.
    Checksum = 21 "checksum" retry nothing;
    /// A batch is larger than may be.
    BatchTooLarge = 22 "batch too large" keep nothing;
    /// A record is larger than may be.
    RecordTooLarge = 23 "record too large" keep nothing;
    /// A record has a header whose name is the broker's own.
    ReservedHeader = 24 "reserved header" keep nothing;
    /// A router refused a record, or failed on it.
    RouterRefused = 25 "router refused batch" keep nothing;
    /// A router of the topic is compiling, paused or failed.
    RouterNotReady = 26 "router not ready" retry nothing;
    /// There is no deployment of that name.
    UnknownDeployment = 30 "unknown deployment" keep nothing;
    /// No module of that digest was uploaded.
    UnknownModule = 31 "unknown module" keep nothing;
    /// An uploaded module is not one that the broker can run; the text says why.
    ModuleRefused = 32 "module refused" keep nothing;
    /// A deployment's settings don't go together; the text says why.
    DeploymentRefused = 33 "deployment refused" keep nothing;
    /// The filter of a subscription failed on a record.
    FilterFailed = 34 "filter failed" keep nothing;
    /// The filter of a subscription is compiling, paused or failed.
    FilterNotReady = 35 "filter not ready" retry nothing;
    /// Reserved: another broker owns the shard.
    NotOwner = 40 "not owner" retry nothing;
    /// A newer holder of the producer's id has taken over, or (reserved) a newer owner of the shard.
    Fenced = 41 "fenced" keep nothing;
    /// The producer never registered, or was idle for too long.
    UnknownProducer = 42 "unknown producer" keep nothing;
    /// A batch does not follow the last one of its producer.
    SequenceGap = 43 "sequence gap" keep nothing;
    /// A batch was appended before, and where is not known any more.
    Duplicate = 44 "duplicate" keep nothing;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlisted(number) => write!(f, "error {number}"),
            _ => f.write_str(self.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_code_is_its_number() {
        let mut numbers = HashSet::new();
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), *code);
            assert!(numbers.insert(code.number()), "{code}");
        }
        for number in 0..=u16::MAX {
            assert_eq!(ErrorCode::from_number(number).number(), number);
        }
    }

    #[test]
    fn a_retry_is_advised_only_where_nothing_happened() {
        for code in ErrorCode::ALL {
            assert!(!code.is_retryable() || code.has_no_side_effects(), "{code}");
        }
    }
}
