//! The nouns of Logmill: names, ids, records, batches, commits, verdicts and policies.
//!
//! Everything here is a value or a function of values. **This crate opens no file, socket, task
//! or clock**, so that formats and decisions can be tested as tables and read without the broker.
//! Byte layouts stand as tables in the docs of the module that reads them; all integers in them
//! are little-endian.

mod batch;
mod commit;
mod compression;
mod corrupt;
mod dead_letter;
mod deployment;
mod describe;
mod envelope;
mod error;
mod idempotency;
mod ids;
pub mod internal;
mod letters;
pub mod limits;
mod module;
mod module_state;
mod names;
mod partitioner;
mod pointer;
mod position;
mod producer;
mod record;
mod reset;
mod rfc3339;
mod space;
mod span;
mod topic;
mod trace;

pub use batch::{BatchBuilder, PlainBatch, RECORD_OVERHEAD_BYTES, RecordBatch, Records};
pub use commit::{Append, Commit, Committed, Outcome, Precondition, Refusal};
pub use compression::Compression;
pub use corrupt::{CATALOG_LOSS, CATALOG_PRICE, CorruptOffsets, CorruptPlace};
pub use dead_letter::{DeadLetter, Source};
pub use deployment::{
    Backoff, Counts, DeploymentSettings, DeploymentState, ModuleLimits, Order, OutputGrant,
    Unrouted,
};
pub use describe::{
    BackupProgress, BackupReport, BrokerStatus, ClockJump, DeployRequest, Deployed,
    DeploymentDescription, DeploymentStatus, LaneDescription, LaneState, LostOffsets,
    ModuleDescription, ModuleLogLine, PartitionDescription, SkippedLane, StartOffset,
    TopicDescription,
};
pub use envelope::{ENVELOPE_BYTES, Envelope, ProducerStamp};
pub use error::Error;
pub use idempotency::{Idempotency, NoIdempotencyKey};
pub use ids::{
    ClusterId, Csn, DeploymentId, Epoch, LaneId, ModuleDigest, Offset, PartitionId, ShardId,
    Timestamp, TopicId,
};
pub use letters::{
    LetterEdit, LetterStatus, LetterSummary, LettersLeft, LettersMarked, LettersPage,
};
pub use module::{FailureReason, LogLevel, Message, Output, RetryRequest, Verdict, World};
pub use module_state::{StateEntry, StatePlace, StateQuery};
pub use names::{DeploymentName, ProducerName, TopicName};
pub use partitioner::{murmur2, partition_of_key};
pub use pointer::Pointer;
pub use position::Position;
pub use producer::{BatchKeys, DuplicateRecord, ProducerIdentity, SequencedBatch};
pub use record::{Header, Record, RecordRef};
pub use reset::{MovedLane, ResetRequest};
pub use space::{CommitClass, SpaceLevel};
pub use span::shown_span;
pub use topic::{Limit, OnFull, PolicyChange, TopicPolicy, Window};
pub use trace::{Trace, TracedAttempt, TracedOutput, TracedVerdict, Waiting};
