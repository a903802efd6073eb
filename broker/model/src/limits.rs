//! The bounds that hold everywhere, and the relations between them.

/// Largest encoded record that a client may produce, in bytes.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// What a record that the broker makes (an output, a dead letter) may have beyond
/// [`RECORD_BYTES_MAX`], in bytes: room for the headers that say where it came from.
pub const BROKER_HEADER_BYTES_MAX: usize = 64 * 1024;
/// Largest encoded record batch, in bytes: as it is sent, and once more as it is when it is not
/// compressed. What has to look inside needs no more memory than twice this.
pub const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Largest commit, in bytes: all its batches, the table of its appends and its header.
pub const COMMIT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most appends in one commit.
pub const APPENDS_MAX: usize = 4096;
/// Most records in one batch.
pub const BATCH_RECORDS_MAX: usize = 65_536;
/// Most headers on one record.
pub const HEADERS_MAX: usize = 1024;
/// Of those, the ones that are kept free for the broker: the provenance of a dead letter and its
/// history.
pub const BROKER_HEADERS_MAX: usize = 32;
/// Most headers on a record that a client or a module makes.
pub const PRODUCED_HEADERS_MAX: usize = HEADERS_MAX - BROKER_HEADERS_MAX;
/// Longest topic name, in bytes.
pub const TOPIC_NAME_BYTES_MAX: usize = 200;
/// Longest deployment name, in bytes.
pub const DEPLOYMENT_NAME_BYTES_MAX: usize = 100;
/// Longest name of a producer, in bytes.
pub const PRODUCER_NAME_BYTES_MAX: usize = 200;
/// The batches that are remembered of each producer in each partition: so many may be in flight.
pub const PRODUCER_BATCHES_MAX: usize = 16;
/// How long a producer that sends nothing is known, in milliseconds of entry time.
pub const PRODUCER_IDLE_MS: u64 = 7 * 24 * 3600 * 1000;
/// Most partitions of one topic.
pub const PARTITIONS_MAX: u32 = 4096;
/// Longest detail text in a dead letter, in bytes.
pub const DETAIL_BYTES_MAX: usize = 1024;
/// Most dead letters that one request redrives or purges.
pub const LETTERS_MAX: usize = 256;
/// Most dead letters that one page tells of.
pub const LETTERS_PAGE_MAX: usize = 1000;
/// Longest idempotency key, in bytes.
pub const CLAIM_KEY_BYTES_MAX: usize = 1024;
/// Longest key in a module's state, in bytes.
pub const STATE_KEY_BYTES_MAX: usize = 1024;
/// Largest value in a module's state, in bytes.
pub const STATE_VALUE_BYTES_MAX: usize = 1024 * 1024;
/// Largest uploaded module, in bytes.
pub const MODULE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Header names that begin with one of these are the broker's own; clients may not send them.
pub const RESERVED_HEADER_PREFIXES: [&str; 2] = ["dlq-", "logmill-"];

const _: () = assert!(RECORD_BYTES_MAX + BROKER_HEADER_BYTES_MAX < BATCH_BYTES_MAX);
const _: () = assert!(
    STATE_KEY_BYTES_MAX + STATE_VALUE_BYTES_MAX < RECORD_BYTES_MAX + BROKER_HEADER_BYTES_MAX
);
const _: () = assert!(BATCH_BYTES_MAX * 2 < COMMIT_BYTES_MAX);
const _: () = assert!(DEPLOYMENT_NAME_BYTES_MAX + ".dlq".len() <= TOPIC_NAME_BYTES_MAX);
