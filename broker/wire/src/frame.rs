//! Frames: all that travels on a stream but the bytes of an upload. Little-endian; the bodies'
//! layouts stand beside the types, and as tables in `PROTOCOL.md`.

mod append;

use bytes::{Buf, BufMut, Bytes};
use logmill_model::{ENVELOPE_BYTES, Envelope, Offset, RecordBatch};

use crate::frame_type::{
    CREDIT_BYTES, FAULT_HEAD_BYTES, MAGIC, PRODUCE_HEAD_BYTES, PROGRESS_BYTES,
};
use crate::{Error, ErrorCode, FrameType, StreamKind, limits};

pub use append::{Ack, Append, AppendBatch};

const RETRYABLE: u8 = 1;
const NO_SIDE_EFFECTS: u8 = 2;
const NO_INDEX: u32 = u32::MAX;

/// All that travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A client opens a stream; the bytes are the CBOR message of that kind of stream.
    Open(StreamKind, Bytes),
    /// The broker answers an opening or an upload; the bytes are the CBOR message.
    Reply(Bytes),
    /// The broker refuses.
    Fault(Fault),
    /// A client sends a batch.
    Produce(Produce),
    /// A client sends batches, and says more of them.
    Append(Append),
    /// The broker has made a batch durable.
    Ack(Ack),
    /// A subscriber is done with this many bytes of data frames' bodies.
    Credit(u64),
    /// The broker sends a batch.
    Data(Data),
    /// The broker says how far a subscription has come.
    Progress(Progress),
}

/// A batch to append. Body, 16 bytes and the batch: request u64, partition u32, CRC-32C of the
/// batch u32, then the batch as it will lie on disk. Batch and checksum are not checked here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Produce {
    /// Chosen by the client, from 1; comes back in the answer.
    pub request: u64,
    /// Where to.
    pub partition: u32,
    /// The batch's checksum.
    pub crc: u32,
    /// The batch.
    pub batch: Bytes,
}

impl Produce {
    /// The frame of a batch.
    #[must_use]
    pub fn new(request: u64, partition: u32, batch: &RecordBatch) -> Self {
        Self { request, partition, crc: batch.crc(), batch: batch.bytes().clone() }
    }
}

/// A refusal. Body, 16 bytes and the text: request u64, code u16, flags u8 (bit 0 a retry may
/// help, bit 1 nothing happened), 0 u8, index u32 of the record (0xffffffff: none), then UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Of the produce frame that is refused; the stream goes on. 0: the stream ends here, and all
    /// that was taken from it has been answered.
    pub request: u64,
    /// What went wrong.
    pub code: ErrorCode,
    /// Whether the same request may succeed later, unchanged.
    pub retryable: bool,
    /// Whether it is certain that nothing happened.
    pub no_side_effects: bool,
    /// Which record of the batch, where it is one.
    pub index: Option<u32>,
    /// For people: what, why, what to do.
    pub text: String,
}

impl Fault {
    /// A fault that ends its stream, with the bits of its code. A text that is too long is cut.
    #[must_use]
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(limits::FAULT_TEXT_BYTES_MAX));
        Self {
            request: 0,
            code,
            retryable: code.is_retryable(),
            no_side_effects: code.has_no_side_effects(),
            index: None,
            text,
        }
    }

    /// The same fault as the answer to one produce frame.
    #[must_use]
    pub fn of_request(self, request: u64) -> Self {
        Self { request, ..self }
    }

    /// The same fault, blamed on one record of the batch.
    #[must_use]
    pub fn at_record(self, index: Option<u32>) -> Self {
        Self { index, ..self }
    }
}

/// A batch of a partition. Body, 64 bytes and the batch: the envelope, then the batch as it lies
/// on disk. The checksum in the envelope is the reader's to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// What the broker added.
    pub envelope: Envelope,
    /// The batch.
    pub batch: Bytes,
}

impl Data {
    /// What the frame costs in credit: the bytes of its body.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        (ENVELOPE_BYTES + self.batch.len()) as u64
    }
}

/// How far a subscription has come. Body, 16 bytes: next offset u64, durable end u64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// All before it has been sent or filtered out.
    pub next: Offset,
    /// The partition's durable end when this was sent; equal to `next`: all that is there was sent.
    pub end: Offset,
}

impl Frame {
    /// Its type.
    #[must_use]
    pub fn frame_type(&self) -> FrameType {
        match self {
            Self::Open(StreamKind::Hello, _) => FrameType::Hello,
            Self::Open(StreamKind::Control, _) => FrameType::Request,
            Self::Open(StreamKind::Produce, _) => FrameType::ProduceOpen,
            Self::Open(StreamKind::Subscribe, _) => FrameType::SubscribeOpen,
            Self::Open(StreamKind::Upload, _) => FrameType::Upload,
            Self::Reply(_) => FrameType::Reply,
            Self::Fault(_) => FrameType::Fault,
            Self::Produce(_) => FrameType::Produce,
            Self::Append(_) => FrameType::Append,
            Self::Ack(_) => FrameType::Ack,
            Self::Credit(_) => FrameType::Credit,
            Self::Data(_) => FrameType::Data,
            Self::Progress(_) => FrameType::Progress,
        }
    }

    /// The part of the body that lies in the frame as it is: a message, or a batch.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        match self {
            Self::Open(_, bytes) | Self::Reply(bytes) => bytes.clone(),
            Self::Produce(produce) => produce.batch.clone(),
            Self::Append(append) => append.payload(),
            Self::Data(data) => data.batch.clone(),
            Self::Fault(_) | Self::Ack(_) | Self::Credit(_) | Self::Progress(_) => Bytes::new(),
        }
    }

    fn head_bytes(&self) -> usize {
        match self {
            Self::Open(..) | Self::Reply(_) => 0,
            Self::Fault(fault) => FAULT_HEAD_BYTES + fault.text.len(),
            Self::Produce(_) => PRODUCE_HEAD_BYTES,
            Self::Append(append) => append.head_bytes(),
            Self::Ack(ack) => ack.bytes(),
            Self::Credit(_) => CREDIT_BYTES,
            Self::Data(_) => ENVELOPE_BYTES,
            Self::Progress(_) => PROGRESS_BYTES,
        }
    }

    /// Writes all but the [`payload`](Self::payload), which follows: so a batch goes out without
    /// a copy.
    ///
    /// # Errors
    /// [`Error::TooLong`] when the body is longer than the frame's type may be; nothing is written.
    pub fn encode_head(&self, out: &mut impl BufMut) -> Result<(), Error> {
        let (frame, max) = (self.frame_type(), self.frame_type().body_bytes_max());
        let length = self.head_bytes() + self.payload().len();
        let bytes = u32::try_from(length).unwrap_or(u32::MAX);
        if length > max {
            return Err(Error::TooLong { frame, bytes, max });
        }
        out.put_slice(&[MAGIC, frame.number(), 0, 0]);
        out.put_u32_le(bytes);
        match self {
            Self::Open(..) | Self::Reply(_) => {}
            Self::Fault(fault) => fault.encode(out),
            Self::Produce(produce) => {
                out.put_u64_le(produce.request);
                out.put_u32_le(produce.partition);
                out.put_u32_le(produce.crc);
            }
            Self::Append(append) => append.encode_head(out),
            Self::Ack(ack) => ack.encode(out),
            Self::Credit(bytes) => out.put_u64_le(*bytes),
            Self::Data(data) => data.envelope.encode(out),
            Self::Progress(Progress { next, end }) => {
                out.put_u64_le(next.0);
                out.put_u64_le(end.0);
            }
        }
        Ok(())
    }

    /// Writes the whole frame.
    ///
    /// # Errors
    /// As [`encode_head`](Self::encode_head).
    pub fn encode(&self, out: &mut impl BufMut) -> Result<(), Error> {
        self.encode_head(out)?;
        out.put_slice(&self.payload());
        Ok(())
    }

    /// The frame of a body, which has at most the bytes that its type may have.
    pub(crate) fn of_body(frame: FrameType, body: Bytes) -> Result<Self, Error> {
        let what = match frame {
            FrameType::Reply => return Ok(Self::Reply(body)),
            FrameType::Fault => Fault::decode(body).map(Self::Fault),
            FrameType::Produce => Produce::decode(body).map(Self::Produce),
            FrameType::Append => Append::decode(body).map(Self::Append),
            FrameType::Ack => Ack::decode(body).map(Self::Ack),
            FrameType::Credit => {
                exactly(body, CREDIT_BYTES).map(|mut b| Self::Credit(b.get_u64_le()))
            }
            FrameType::Data => Data::decode(body).map(Self::Data),
            FrameType::Progress => exactly(body, PROGRESS_BYTES).map(|mut body| {
                let (next, end) = (Offset(body.get_u64_le()), Offset(body.get_u64_le()));
                Self::Progress(Progress { next, end })
            }),
            FrameType::Hello
            | FrameType::Request
            | FrameType::ProduceOpen
            | FrameType::SubscribeOpen
            | FrameType::Upload => {
                let kind = frame.opens().expect("these are the frames that open a stream");
                return Ok(Self::Open(kind, body));
            }
        };
        what.map_err(|what| Error::Layout { frame, what })
    }
}

fn exactly(body: Bytes, length: usize) -> Result<Bytes, String> {
    if body.len() == length { Ok(body) } else { Err(format!("its body is not {length} bytes")) }
}

fn at_least(body: Bytes, length: usize) -> Result<Bytes, String> {
    if body.len() >= length {
        Ok(body)
    } else {
        Err(format!("its body is not {length} bytes or more"))
    }
}

impl Produce {
    fn decode(body: Bytes) -> Result<Self, String> {
        let mut body = at_least(body, PRODUCE_HEAD_BYTES)?;
        Ok(Self {
            request: body.get_u64_le(),
            partition: body.get_u32_le(),
            crc: body.get_u32_le(),
            batch: body,
        })
    }
}

impl Fault {
    fn encode(&self, out: &mut impl BufMut) {
        let flags = if self.retryable { RETRYABLE } else { 0 }
            | if self.no_side_effects { NO_SIDE_EFFECTS } else { 0 };
        out.put_u64_le(self.request);
        out.put_u16_le(self.code.number());
        out.put_slice(&[flags, 0]);
        out.put_u32_le(self.index.unwrap_or(NO_INDEX));
        out.put_slice(self.text.as_bytes());
    }

    fn decode(body: Bytes) -> Result<Self, String> {
        let mut body = at_least(body, FAULT_HEAD_BYTES)?;
        let request = body.get_u64_le();
        let code = ErrorCode::from_number(body.get_u16_le());
        let (flags, zero) = (body.get_u8(), body.get_u8());
        if flags & !(RETRYABLE | NO_SIDE_EFFECTS) != 0 || zero != 0 {
            return Err("it has unknown flags".into());
        }
        let index = body.get_u32_le();
        let text = std::str::from_utf8(&body).map_err(|_| "its text is not UTF-8")?;
        Ok(Self {
            request,
            code,
            retryable: flags & RETRYABLE != 0,
            no_side_effects: flags & NO_SIDE_EFFECTS != 0,
            index: (index != NO_INDEX).then_some(index),
            text: text.to_owned(),
        })
    }
}

impl Data {
    fn decode(body: Bytes) -> Result<Self, String> {
        let mut batch = at_least(body, ENVELOPE_BYTES)?;
        let head = batch.split_to(ENVELOPE_BYTES);
        let head = head[..].try_into().expect("split at the length of an envelope");
        let envelope = Envelope::decode(head).map_err(|error| error.to_string())?;
        if envelope.bytes as usize != batch.len() {
            return Err("its batch is not as long as its envelope says".into());
        }
        Ok(Self { envelope, batch })
    }
}
