//! From the bytes of a stream to its frames.

use bytes::{Buf, Bytes};

use crate::frame_type::HEADER_BYTES;
use crate::{Error, Frame, FrameType};

/// How much a body may take before its bytes arrive: a length is only a claim.
const STEP_BYTES: usize = 64 * 1024;

/// Which frames a stream may bring. Anything else is refused by its header alone, so that a client
/// can't make a broker hold what only a broker may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepts(u64);

impl Accepts {
    /// To a broker, on a connection's first stream.
    pub const HELLO: Self = Self::of(&[FrameType::Hello]);
    /// To a broker, at the start of every other stream.
    pub const OPENINGS: Self = Self::of(&[
        FrameType::Request,
        FrameType::ProduceOpen,
        FrameType::SubscribeOpen,
        FrameType::Upload,
    ]);
    /// To a broker, after the opening of a produce stream.
    pub const PRODUCER: Self = Self::of(&[FrameType::Produce, FrameType::Append]);
    /// To a broker, after the opening of a subscribe stream.
    pub const SUBSCRIBER: Self = Self::of(&[FrameType::Credit]);
    /// To a client: the answer to an opening, a request or an upload.
    pub const REPLY: Self = Self::of(&[FrameType::Reply, FrameType::Fault]);
    /// To a client, on a produce stream after its reply.
    pub const ACKS: Self = Self::of(&[FrameType::Ack, FrameType::Fault]);
    /// To a client, on a subscribe stream after its reply.
    pub const DATA: Self = Self::of(&[FrameType::Data, FrameType::Progress, FrameType::Fault]);

    /// These frames.
    #[must_use]
    pub const fn of(frames: &[FrameType]) -> Self {
        let (mut bits, mut index) = (0, 0);
        while index < frames.len() {
            bits |= 1 << frames[index].number();
            index += 1;
        }
        Self(bits)
    }

    fn has(self, frame: FrameType) -> bool {
        self.0 & (1 << frame.number()) != 0
    }
}

/// What a decoder makes of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// All bytes are taken, and the frame goes on beyond them.
    Incomplete,
    /// A frame; bytes behind it are left.
    Frame(Frame),
    /// Not a frame: the stream has no further use, since where the next frame begins is not known.
    Malformed(Error),
}

/// Makes frames of the bytes of one direction of one stream, in whatever pieces they come.
///
/// Total: any bytes have an answer, at most a frame's checked length is allocated (and that only
/// as bytes arrive), and a frame's allocation is its own, so that keeping a small batch never keeps
/// a large buffer.
///
/// ```
/// use bytes::Bytes;
/// use logmill_wire::{Accepts, Decoded, Decoder, Frame};
///
/// let mut sent = Vec::new();
/// Frame::Credit(4096).encode(&mut sent)?;
/// let mut decoder = Decoder::new(Accepts::SUBSCRIBER);
/// let mut arrived = Bytes::from(sent);
/// let mut first_half = arrived.split_to(7);
/// assert_eq!(decoder.feed(&mut first_half), Decoded::Incomplete);
/// assert_eq!(decoder.feed(&mut arrived), Decoded::Frame(Frame::Credit(4096)));
/// # Ok::<(), logmill_wire::Error>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    accepts: Accepts,
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    body: Vec<u8>,
    /// Known from a complete and checked header on.
    expected: Option<(FrameType, usize)>,
}

impl Decoder {
    /// For the start of a stream.
    #[must_use]
    pub fn new(accepts: Accepts) -> Self {
        Self {
            accepts,
            header: [0; HEADER_BYTES],
            header_bytes: 0,
            body: Vec::new(),
            expected: None,
        }
    }

    /// What the stream may bring from the next frame on.
    pub fn accept(&mut self, accepts: Accepts) {
        self.accepts = accepts;
    }

    /// Whether it stands between two frames: a stream that ends here has ended well.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        self.header_bytes == 0
    }

    /// Takes bytes until a frame is complete, or all are taken. What is left in `bytes` lies behind
    /// the frame: call again.
    pub fn feed(&mut self, bytes: &mut Bytes) -> Decoded {
        match self.step(bytes) {
            Ok(Some(frame)) => Decoded::Frame(frame),
            Ok(None) => Decoded::Incomplete,
            Err(error) => Decoded::Malformed(error),
        }
    }

    fn step(&mut self, bytes: &mut Bytes) -> Result<Option<Frame>, Error> {
        let missing = (HEADER_BYTES - self.header_bytes).min(bytes.len());
        let start = self.header_bytes;
        bytes.copy_to_slice(&mut self.header[start..start + missing]);
        self.header_bytes += missing;
        if self.header_bytes < HEADER_BYTES {
            return Ok(None);
        }
        let (frame, length) = match self.expected {
            Some(expected) => expected,
            None => self.check_header()?,
        };
        self.take_body(bytes, length);
        if self.body.len() < length {
            return Ok(None);
        }
        let body = Bytes::from(std::mem::take(&mut self.body));
        (self.header_bytes, self.expected) = (0, None);
        Frame::of_body(frame, body).map(Some)
    }

    fn check_header(&mut self) -> Result<(FrameType, usize), Error> {
        let (frame, length) = FrameType::of_header(self.header)?;
        if !self.accepts.has(frame) {
            return Err(Error::Unexpected(frame));
        }
        self.expected = Some((frame, length));
        Ok((frame, length))
    }

    fn take_body(&mut self, bytes: &mut Bytes, length: usize) {
        let taken = bytes.split_to((length - self.body.len()).min(bytes.len()));
        let needed = self.body.len() + taken.len();
        if needed > self.body.capacity() {
            let room = needed.max(self.body.len() * 2).max(STEP_BYTES).min(length);
            self.body.reserve_exact(room - self.body.len());
        }
        self.body.extend_from_slice(&taken);
    }
}

#[cfg(test)]
mod tests;
