//! The bounds of the network side, and the relations between them. What an operator may want to
//! turn is a field of [`Config`](crate::Config); everything else is here.

use std::time::Duration;

use bytesize::ByteSize;
use logmill_model::limits::BATCH_BYTES_MAX;

/// The least and the most that a journal file may have.
pub(crate) const JOURNAL_FILE_BYTES: (ByteSize, ByteSize) = (ByteSize::mib(1), ByteSize::gib(1));
/// The least and the most of the disk that may be left free. Commits in flight may need the least.
pub(crate) const RESERVE_BYTES: (ByteSize, ByteSize) = (ByteSize::mib(64), ByteSize::tib(1));
/// The least and the most that a segment may hold.
pub(crate) const SEGMENT_BYTES: (ByteSize, ByteSize) = (ByteSize::mib(1), ByteSize::gib(1));
/// The least and the most that the cleaner may read and write in a second.
pub(crate) const CLEANER_PACE: (ByteSize, ByteSize) = (ByteSize::mib(1), ByteSize::tib(1));
/// The least and the most that the scrubber may read in a second, when it reads at all.
pub(crate) const SCRUBBER_PACE: (ByteSize, ByteSize) = (ByteSize::kib(64), ByteSize::tib(1));

/// From the first packet to an accepted hello. Who has not said hello by then is a stranger who
/// holds a place.
pub(crate) const HELLO_DEADLINE: Duration = Duration::from_secs(5);
/// Without a packet for this long, a connection is gone.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the broker asks a silent client whether it is there; a subscriber at the end of a
/// quiet topic stays connected that way.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// From the header of a frame or a request to its last byte.
pub(crate) const FRAME_DEADLINE: Duration = Duration::from_secs(30);
/// Until a client must have taken an answer.
pub(crate) const REPLY_DEADLINE: Duration = Duration::from_secs(30);
/// All of a shutdown.
pub(crate) const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(10);
/// The part of a shutdown that the engine may take to settle what runs.
pub(crate) const SETTLE_DEADLINE: Duration = Duration::from_secs(7);
/// The part of a shutdown in which the last acks and goodbyes leave.
pub(crate) const GOODBYE_DEADLINE: Duration = Duration::from_secs(1);

/// Connections that have not been accepted with their hello, all together.
pub(crate) const HANDSHAKES_MAX: usize = 256;
/// Above so many handshakes at once, a client must prove that it receives at its address.
pub(crate) const HANDSHAKES_BEFORE_RETRY: usize = 64;
/// First packets that wait to be looked at.
pub(crate) const INCOMING_MAX: usize = 256;
/// Bytes kept of one connection attempt that has not been looked at.
pub(crate) const INCOMING_BYTES_MAX: u64 = 16 * 1024;
/// Bytes kept of all connection attempts that have not been looked at.
pub(crate) const INCOMING_BYTES_TOTAL_MAX: u64 = 2 * 1024 * 1024;
/// What a stranger may have in flight before its hello is accepted, either way, in bytes.
pub(crate) const STRANGER_WINDOW_BYTES: u32 = 16 * 1024;
/// Streams a stranger may open: the one of the hello.
pub(crate) const STRANGER_STREAMS_MAX: u32 = 1;

/// Largest datagram on loopback, in bytes: fewer of them for the same bytes. Elsewhere the path's
/// own limit is found out.
pub(crate) const LOOPBACK_MTU: u16 = 4096;

/// Streams a client may have open: requests, producers and subscriptions together.
pub(crate) const STREAMS_MAX: u32 = 256;
/// What quinn is told of [`STREAMS_MAX`]: it gives closed streams back an eighth at a time, so that
/// a client would wait for the last ones it was promised.
pub(crate) const STREAMS_CREDIT: u32 = STREAMS_MAX + STREAMS_MAX / 8 + STRANGER_STREAMS_MAX;
/// What one stream may have in flight towards the broker, in bytes.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// What every client may have in flight, each way, in bytes, however many there are.
pub(crate) const WINDOW_BYTES_MIN: u32 = 64 * 1024;
/// More, for those who come while there is room: the largest that fits is given.
pub(crate) const WINDOW_BYTES: [u32; 3] = [4 * 1024 * 1024, 1024 * 1024, 256 * 1024];

/// Frames of one producer stream that wait for their ack.
pub(crate) const PRODUCE_FRAMES_MAX: usize = 1024;
/// Bytes of answers that are gathered before they leave.
pub(crate) const ANSWERS_BYTES: usize = 16 * 1024;
/// Bytes of one client's produce frames that are being read or wait for their ack.
pub(crate) const PRODUCE_CLIENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of compressed batches that are decompressed to be checked, of all clients together.
pub(crate) const DECOMPRESSED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Batches that decompress to no more are checked where they were read: they take microseconds.
pub(crate) const DECOMPRESS_INLINE_BYTES_MAX: usize = 32 * 1024;
/// What one read of a subscription brings, in bytes, a single larger batch excepted.
pub(crate) const CHUNK_BYTES_MAX: usize = 1024 * 1024;
/// Modules that are received or compiled at once; each takes a few times its size.
pub(crate) const UPLOADS_MAX: usize = 2;
/// From the opening of an upload to its last byte.
pub(crate) const UPLOAD_DEADLINE: Duration = Duration::from_secs(600);

/// HTTP connections at once.
pub(crate) const HTTP_CONNECTIONS_MAX: usize = 64;
/// How long one HTTP connection may live; a monitor connects again.
pub(crate) const HTTP_LIFETIME: Duration = Duration::from_secs(60);
/// How often histograms are folded, so that what nobody scrapes does not pile up.
pub(crate) const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// Random bytes of a token.
pub(crate) const TOKEN_BYTES: usize = 32;
/// Largest token file, PEM file or the like that is read, in bytes.
pub(crate) const SMALL_FILE_BYTES_MAX: u64 = 1024 * 1024;

const _: () = assert!(HANDSHAKES_BEFORE_RETRY < HANDSHAKES_MAX);
const _: () = assert!(STRANGER_WINDOW_BYTES <= WINDOW_BYTES_MIN);
const _: () = assert!(WINDOW_BYTES_MIN < WINDOW_BYTES[2]);
const _: () = assert!(WINDOW_BYTES[2] < WINDOW_BYTES[1] && WINDOW_BYTES[1] < WINDOW_BYTES[0]);
// One stream whose frames the broker does not read yet leaves room for the client's others.
const _: () = assert!(STREAM_WINDOW_BYTES < WINDOW_BYTES[0]);
const _: () = assert!(BATCH_BYTES_MAX * 2 <= PRODUCE_CLIENT_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX <= DECOMPRESSED_BYTES_MAX);
const _: () = assert!(
    SETTLE_DEADLINE.as_secs() + 2 * GOODBYE_DEADLINE.as_secs() < SHUTDOWN_DEADLINE.as_secs()
);
const _: () = assert!(KEEP_ALIVE.as_secs() * 2 < IDLE_TIMEOUT.as_secs());
