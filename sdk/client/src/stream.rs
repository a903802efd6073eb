//! A stream as frames, in both directions: where bytes of the network meet [`logmill_wire`].

use bytes::{Bytes, BytesMut};
use logmill_wire::{Accepts, Decoded, Decoder, Frame, Message, StreamKind};
use quinn::{Connection, RecvStream, SendStream, VarInt};

use crate::Error;

const READ_BYTES_MAX: usize = 1024 * 1024;

/// Opens a stream and says what it is for.
pub(crate) async fn open(
    connection: &Connection,
    kind: StreamKind,
    message: &impl Message,
) -> Result<(FrameWriter, FrameReader), Error> {
    let frame = Frame::Open(kind, message.to_bytes().map_err(not_sendable)?);
    let (send, receive) = connection.open_bi().await?;
    let mut writer = FrameWriter::new(send);
    let reader = FrameReader::new(receive, Accepts::REPLY);
    match writer.send(&frame).await {
        // Stopped: the broker answers without reading on, and its answer says why.
        Ok(()) | Err(quinn::WriteError::Stopped(_)) => Ok((writer, reader)),
        Err(error) => Err(error.into()),
    }
}

/// A message of ours that is longer than the protocol allows.
fn not_sendable(error: logmill_wire::Error) -> Error {
    Error::Options(error.to_string())
}

/// The frames that come in on one stream.
pub(crate) struct FrameReader {
    stream: RecvStream,
    decoder: Decoder,
    /// Arrived and not decoded yet.
    rest: Bytes,
}

impl FrameReader {
    pub(crate) fn new(stream: RecvStream, accepts: Accepts) -> Self {
        Self { stream, decoder: Decoder::new(accepts), rest: Bytes::new() }
    }

    /// The next frame; None when the stream has ended well. Nothing is lost when this is dropped
    /// and called again.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            match self.decoder.feed(&mut self.rest) {
                Decoded::Frame(frame) => return Ok(Some(frame)),
                Decoded::Malformed(error) => return Err(error.into()),
                Decoded::Incomplete => {}
            }
            match self.stream.read_chunk(READ_BYTES_MAX, true).await? {
                Some(chunk) => self.rest = chunk.bytes,
                None if self.decoder.is_between_frames() => return Ok(None),
                None => return Err(Error::Protocol("a stream ended inside a frame".to_owned())),
            }
        }
    }

    /// The reply that begins or ends the broker's side of a stream; `then` is what follows it.
    pub(crate) async fn reply<M: Message>(&mut self, then: Accepts) -> Result<M, Error> {
        let frame = self.next().await?;
        self.decoder.accept(then);
        match frame {
            Some(Frame::Reply(bytes)) => Ok(M::from_bytes(&bytes)?),
            Some(Frame::Fault(fault)) => Err(fault.into()),
            Some(other) => Err(unexpected(&other)),
            None => Err(Error::Protocol("a stream ended without an answer".to_owned())),
        }
    }

    /// What follows the last frame as it is, up to the end of the stream.
    #[cfg(test)]
    pub(crate) async fn rest(&mut self, bytes_max: usize) -> Vec<u8> {
        let mut rest = self.rest.to_vec();
        rest.extend(self.stream.read_to_end(bytes_max).await.unwrap());
        rest
    }

    /// Tells the broker that nothing more will be read.
    pub(crate) fn stop(&mut self) {
        // An error says that the stream has ended already.
        let _ = self.stream.stop(VarInt::from_u32(0));
    }
}

/// A frame that the decoder lets through and that has no place here all the same.
pub(crate) fn unexpected(frame: &Frame) -> Error {
    Error::Protocol(format!("unexpected {} frame", frame.frame_type()))
}

/// The frames that go out on one stream.
pub(crate) struct FrameWriter {
    stream: SendStream,
    head: BytesMut,
}

impl FrameWriter {
    pub(crate) fn new(stream: SendStream) -> Self {
        Self { stream, head: BytesMut::new() }
    }

    /// Sends one frame; waits as long as the broker's window is full. When this is dropped midway,
    /// the stream is of no further use.
    pub(crate) async fn send(&mut self, frame: &Frame) -> Result<(), quinn::WriteError> {
        if frame.encode_head(&mut self.head).is_err() {
            // Batches and messages are checked where they are made.
            return Err(quinn::WriteError::ClosedStream);
        }
        let mut chunks = [self.head.split().freeze(), frame.payload()];
        self.stream.write_all_chunks(&mut chunks).await
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_raw(&mut self, bytes: Bytes) -> Result<(), quinn::WriteError> {
        self.stream.write_chunk(bytes).await
    }

    /// Says that nothing more follows.
    pub(crate) fn finish(&mut self) {
        // An error says that the broker has stopped the stream already.
        let _ = self.stream.finish();
    }
}
