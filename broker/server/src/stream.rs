//! A stream as frames, in both directions: where bytes of the network meet [`logmill_wire`].

use bytes::{Bytes, BytesMut};
use logmill_wire::{Accepts, Decoded, Decoder, ErrorCode, Fault, Frame, Message};
use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{limits, metrics};

/// Why no further frame can be read from a stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadEnd {
    /// What came is not the protocol.
    #[error(transparent)]
    Malformed(#[from] logmill_wire::Error),
    /// The stream ended within a frame.
    #[error("the stream ended in the middle of a frame")]
    Cut,
    /// A frame began and did not arrive whole in time.
    #[error("a frame did not arrive whole within {} s", limits::FRAME_DEADLINE.as_secs())]
    Slow,
    /// The client gave the stream up, or the connection is gone: there is nobody to tell.
    #[error(transparent)]
    Gone(#[from] ReadError),
}

/// The frames that a client sends on one stream.
pub(crate) struct FrameReader {
    stream: RecvStream,
    decoder: Decoder,
    /// Arrived and not decoded yet.
    rest: Bytes,
    /// Until when the frame that has begun must be whole.
    deadline: Option<Instant>,
}

impl FrameReader {
    pub(crate) fn new(stream: RecvStream, accepts: Accepts) -> Self {
        Self { stream, decoder: Decoder::new(accepts), rest: Bytes::new(), deadline: None }
    }

    /// What the stream may bring from the next frame on.
    pub(crate) fn accept(&mut self, accepts: Accepts) {
        self.decoder.accept(accepts);
    }

    /// Waits for the first byte of a frame; false when the stream has ended well. What it takes to
    /// hold a frame can be reserved between this and [`next`](Self::next).
    pub(crate) async fn begun(&mut self) -> Result<bool, ReadEnd> {
        while self.rest.is_empty() && self.decoder.is_between_frames() {
            if !self.fetch().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The next frame; None when the stream has ended well. Nothing is lost when this is dropped
    /// and called again.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, ReadEnd> {
        if !self.begun().await? {
            return Ok(None);
        }
        let deadline =
            *self.deadline.get_or_insert_with(|| Instant::now() + limits::FRAME_DEADLINE);
        loop {
            match self.decoder.feed(&mut self.rest) {
                Decoded::Frame(frame) => {
                    self.deadline = None;
                    return Ok(Some(frame));
                }
                Decoded::Malformed(error) => return Err(error.into()),
                Decoded::Incomplete => {}
            }
            if !timeout_at(deadline, self.fetch()).await.map_err(|_| ReadEnd::Slow)?? {
                return Err(ReadEnd::Cut);
            }
        }
    }

    /// The bytes that follow the last frame as they are, in the pieces in which they come; None
    /// at the end of the stream.
    pub(crate) async fn raw(&mut self) -> Result<Option<Bytes>, ReadEnd> {
        if self.rest.is_empty() {
            let more = timeout(limits::FRAME_DEADLINE, self.fetch()).await;
            if !more.map_err(|_| ReadEnd::Slow)?? {
                return Ok(None);
            }
        }
        Ok(Some(std::mem::take(&mut self.rest)))
    }

    /// Tells the client that nothing more will be read, and why.
    pub(crate) fn stop(&mut self, code: ErrorCode) {
        // An error says that the stream has ended already.
        let _ = self.stream.stop(VarInt::from_u32(code.number().into()));
    }

    /// More bytes into `rest`, which must be empty; false at the end of the stream.
    async fn fetch(&mut self) -> Result<bool, ReadEnd> {
        let chunk = self.stream.read_chunk(limits::STREAM_WINDOW_BYTES as usize, true).await?;
        Ok(chunk.map(|chunk| self.rest = chunk.bytes).is_some())
    }
}

/// The frames that the broker sends on one stream.
pub(crate) struct FrameWriter {
    stream: SendStream,
    /// What waits to be sent, in order: heads of frames, and payloads, which are not copied.
    chunks: Vec<Bytes>,
    head: BytesMut,
}

impl FrameWriter {
    pub(crate) fn new(stream: SendStream) -> Self {
        Self { stream, chunks: Vec::new(), head: BytesMut::new() }
    }

    /// Adds a frame to what the next [`flush`](Self::flush) sends.
    pub(crate) fn push(&mut self, frame: &Frame) {
        if let Err(error) = frame.encode_head(&mut self.head) {
            // Only a reply can be longer than its type may be.
            let fault = Frame::Fault(Fault::new(ErrorCode::Internal, error.to_string()));
            fault.encode_head(&mut self.head).expect("a fault's text is cut to its limit");
            return;
        }
        let payload = frame.payload();
        if !payload.is_empty() {
            self.chunks.push(self.head.split().freeze());
            self.chunks.push(payload);
        }
    }

    /// How many bytes of heads wait for the next [`flush`](Self::flush).
    pub(crate) fn buffered(&self) -> usize {
        self.head.len()
    }

    /// Sends what was pushed; waits as long as the client's window is full. When this is dropped,
    /// the next call goes on where it stood: what was sent is taken out of `chunks` as it goes.
    pub(crate) async fn flush(&mut self) -> Result<(), WriteError> {
        if !self.head.is_empty() {
            self.chunks.push(self.head.split().freeze());
        }
        self.stream.write_all_chunks(&mut self.chunks).await?;
        self.chunks.clear();
        Ok(())
    }

    /// Resolves when the client takes no more, or is gone.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + use<> {
        let stopped = self.stream.stopped();
        async {
            // Whether it said so or vanished makes no difference.
            let _ = stopped.await;
        }
    }

    /// Sends one frame.
    pub(crate) async fn send(&mut self, frame: &Frame) -> Result<(), WriteError> {
        self.push(frame);
        self.flush().await
    }

    /// Sends a message as a reply.
    pub(crate) async fn reply(&mut self, message: &impl Message) -> Result<(), WriteError> {
        match message.to_bytes() {
            Ok(bytes) => self.send(&Frame::Reply(bytes)).await,
            Err(error) => {
                self.send(&Frame::Fault(Fault::new(ErrorCode::Internal, error.to_string()))).await
            }
        }
    }

    /// Ends the stream and waits until the client has all of it, or is gone, or takes too long.
    pub(crate) async fn finish(mut self) {
        if self.stream.finish().is_ok() {
            // In each of the three cases there is nothing left to do.
            let _ = timeout(limits::REPLY_DEADLINE, self.stream.stopped()).await;
        }
    }

    /// Ends the stream with a refusal.
    pub(crate) async fn refuse(mut self, fault: Fault) {
        metrics::fault(fault.code);
        let frame = Frame::Fault(fault);
        let sent = timeout(limits::REPLY_DEADLINE, self.send(&frame)).await;
        if sent.is_ok_and(|sent| sent.is_ok()) {
            self.finish().await;
        }
    }
}
