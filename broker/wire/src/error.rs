//! What can be wrong with bytes from the other end.

use crate::FrameType;

/// Why bytes are not a frame, or not the message that belongs there. Whoever meets one answers
/// `bad request` and gives the stream up: where the next frame begins is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A frame begins with other bytes than frames do.
    #[error("malformed frame: it begins with {0:02x?}; is this the protocol logmill/1?")]
    Header([u8; 4]),
    /// A frame of this type has no business on this stream.
    #[error("unexpected {0} frame on this stream")]
    Unexpected(FrameType),
    /// A frame says that it is longer than its type may be.
    #[error("a {frame} frame of {bytes} bytes, at most {max} are allowed")]
    TooLong {
        /// The frame.
        frame: FrameType,
        /// What its header says.
        bytes: u32,
        /// The limit.
        max: usize,
    },
    /// A frame's body breaks its layout: `what` says where.
    #[error("malformed {frame} frame: {what}")]
    Layout {
        /// The frame.
        frame: FrameType,
        /// Which rule is broken.
        what: String,
    },
    /// A message is not the CBOR map that belongs there.
    #[error("malformed {message}: {what}")]
    Message {
        /// The message.
        message: &'static str,
        /// Which rule is broken.
        what: String,
    },
    /// A message has more bytes than its kind may have.
    #[error("a {message} of {bytes} bytes, at most {max} are allowed")]
    MessageTooLong {
        /// The message.
        message: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}
