//! The types of frames, and what a frame's header says.
//!
//! # Layout (little-endian)
//!
//! | at | bytes | frame header |
//! |---:|---:|---|
//! | 0 | 1 | 0x4c |
//! | 1 | 1 | type |
//! | 2 | 2 | 0 |
//! | 4 | 4 | length of the body, which follows |

use std::fmt;

use logmill_model::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};

use crate::{Error, limits};

/// The size of a frame's header, in bytes.
pub(crate) const HEADER_BYTES: usize = 8;
/// What every frame begins with.
pub(crate) const MAGIC: u8 = 0x4c;
/// What a produce frame's body has before the batch, in bytes.
pub(crate) const PRODUCE_HEAD_BYTES: usize = 16;
/// What an append frame's body has before the heads of its batches, in bytes.
pub(crate) const APPEND_HEAD_BYTES: usize = 16;
/// What it has of each batch before the first one, in bytes.
pub(crate) const APPEND_BATCH_HEAD_BYTES: usize = 32;
/// The body of an ack without duplicates, in bytes.
pub(crate) const ACK_BYTES: usize = 48;
/// What an ack has of each record that was not stored, in bytes.
pub(crate) const DUPLICATE_RECORD_BYTES: usize = 16;
/// What a fault's body has before the text, in bytes.
pub(crate) const FAULT_HEAD_BYTES: usize = 16;
/// The body of a progress frame, in bytes.
pub(crate) const PROGRESS_BYTES: usize = 16;
/// The body of a credit frame, in bytes.
pub(crate) const CREDIT_BYTES: usize = 8;

/// What a stream is for: the type of its first frame says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// The connection's first stream, and only that one.
    Hello,
    /// One request, one reply.
    Control,
    /// Batches, and an answer to each.
    Produce,
    /// Batches of one partition, as credit allows.
    Subscribe,
    /// A module's bytes, one reply.
    Upload,
}

macro_rules! frame_types {
    ($($(#[doc = $doc:literal])* $name:ident = $number:literal, $text:literal, $max:expr;)*) => {
        /// The type of a frame.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum FrameType {
            $($(#[doc = $doc])* $name,)*
        }

        impl FrameType {
            /// All types.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub(crate) fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its number on the wire.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self {
                    $(Self::$name => $number,)*
                }
            }

            /// The longest body it may have, in bytes.
            #[must_use]
            pub const fn body_bytes_max(self) -> usize {
                match self {
                    $(Self::$name => $max,)*
                }
            }
        }

        impl fmt::Display for FrameType {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => $text,)*
                })
            }
        }
    };
}

frame_types! {
    /// Opens the hello stream: a [`Hello`](crate::Hello).
    Hello = 1, "hello", limits::HELLO_BYTES_MAX;
    /// Opens a control stream: a [`Request`](crate::Request).
    Request = 2, "request", limits::REQUEST_BYTES_MAX;
    /// Opens a produce stream: a [`ProduceOpen`](crate::ProduceOpen).
    ProduceOpen = 3, "produce open", limits::OPEN_BYTES_MAX;
    /// Opens a subscribe stream: a [`SubscribeOpen`](crate::SubscribeOpen).
    SubscribeOpen = 4, "subscribe open", limits::OPEN_BYTES_MAX;
    /// Opens an upload stream: an [`Upload`](crate::Upload); the module's bytes follow the frame.
    Upload = 5, "upload", limits::OPEN_BYTES_MAX;
    /// The broker's answer to the first frame of a stream, or to an upload.
    Reply = 16, "reply", limits::REPLY_BYTES_MAX;
    /// The broker's refusal: a [`Fault`](crate::Fault).
    Fault = 17, "fault", FAULT_HEAD_BYTES + limits::FAULT_TEXT_BYTES_MAX;
    /// A batch to append: a [`Produce`](crate::Produce).
    Produce = 32, "produce", PRODUCE_HEAD_BYTES + BATCH_BYTES_MAX;
    /// A batch is durable: an [`Ack`](crate::Ack).
    Ack = 33, "ack", ACK_BYTES + DUPLICATE_RECORD_BYTES * BATCH_RECORDS_MAX;
    /// Batches to append, all or none: an [`Append`](crate::Append).
    Append = 34, "append", limits::APPEND_BODY_BYTES_MAX;
    /// Bytes that a subscriber is done with.
    Credit = 48, "credit", CREDIT_BYTES;
    /// A batch of a partition: a [`Data`](crate::Data).
    Data = 49, "data", limits::DATA_BODY_BYTES_MAX;
    /// How far a subscription has come: a [`Progress`](crate::Progress).
    Progress = 50, "progress", PROGRESS_BYTES;
}

impl FrameType {
    /// What the stream is for that this frame opens, if it opens one.
    #[must_use]
    pub fn opens(self) -> Option<StreamKind> {
        match self {
            Self::Hello => Some(StreamKind::Hello),
            Self::Request => Some(StreamKind::Control),
            Self::ProduceOpen => Some(StreamKind::Produce),
            Self::SubscribeOpen => Some(StreamKind::Subscribe),
            Self::Upload => Some(StreamKind::Upload),
            _ => None,
        }
    }

    /// The type and body length that a frame's header says, both checked.
    pub(crate) fn of_header(header: [u8; HEADER_BYTES]) -> Result<(Self, usize), Error> {
        let [magic, number, zero, null, length @ ..] = header;
        let (MAGIC, 0, 0, Some(frame)) = (magic, zero, null, Self::from_number(number)) else {
            return Err(Error::Header([magic, number, zero, null]));
        };
        let bytes = u32::from_le_bytes(length);
        let max = frame.body_bytes_max();
        match usize::try_from(bytes) {
            Ok(length) if length <= max => Ok((frame, length)),
            _ => Err(Error::TooLong { frame, bytes, max }),
        }
    }
}
