//! The client of Logmill, a durable log broker that speaks QUIC.
//!
//! [`Client`] is a connection; [`Producer`] sends records, [`Subscriber`] reads them, [`Admin`]
//! makes topics and deploys modules. An ack means that the record is on disk and can be read. **A
//! producer's records are stored once**, also when the connection was lost and they are sent again;
//! nothing else is ever sent twice, and where an outcome can't be known, its [`Error`] says so.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use logmill_client::{Client, ConnectOptions, Record, SubscribeOptions};
//!
//! let client = Client::connect(ConnectOptions::discover(None)?).await?;
//! client.admin().create_topic("greetings".parse()?, 1).await?;
//!
//! let producer = client.producer("greetings".parse()?).await?;
//! let record = Record { value: Some("hello".into()), ..Record::default() };
//! let ack = producer.send(record).await?.wait().await?;
//!
//! let options = SubscribeOptions::new("greetings".parse()?).until_end();
//! let mut greetings = client.subscribe(options).await?;
//! let first = greetings.next().await.expect("there is one")?;
//! assert_eq!(first.offset, ack.offset);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod admin;
mod client;
mod clock;
mod connection_file;
mod discover;
mod error;
#[cfg(test)]
mod fake_broker;
mod fingerprint;
mod options;
mod producer;
mod raw;
mod stream;
mod subscriber;
mod tls;
mod transport;

pub use admin::{Admin, LogQuery};
pub use client::Client;
pub use connection_file::ConnectionFile;
pub use error::Error;
pub use fingerprint::Fingerprint;
pub use options::{ConnectOptions, Trust};
pub use producer::{Ack, Producer, ProducerOptions, Ticket};
#[doc(hidden)]
pub use raw::RawConnection;
pub use subscriber::{ConsumedBatch, ConsumedRecord, SubscribeOptions, Subscriber};

pub use logmill_model::{
    Backoff, BatchBuilder, BrokerStatus, Compression, Counts, Csn, DeadLetter, DeployRequest,
    Deployed, DeploymentDescription, DeploymentName, DeploymentSettings, DeploymentStatus,
    Envelope, Epoch, FailureReason, Header, LaneDescription, LaneState, LetterEdit, LetterStatus,
    LetterSummary, LettersLeft, LettersMarked, LettersPage, Limit, LogLevel, LostOffsets,
    ModuleDescription, ModuleDigest, ModuleLimits, ModuleLogLine, MovedLane, Offset, OnFull,
    OutputGrant, PartitionDescription, PlainBatch, PolicyChange, Position, ProducerName, Record,
    RecordBatch, ResetRequest, ShardId, SkippedLane, Source, StartOffset, StateEntry, StatePlace,
    StateQuery, Timestamp, TopicDescription, TopicName, TopicPolicy, Trace, TracedAttempt,
    TracedOutput, TracedVerdict, Unrouted, Waiting, World,
};
pub use logmill_wire::{ErrorCode, Limits, Welcome};
