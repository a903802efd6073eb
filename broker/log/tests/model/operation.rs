//! What is done to a log, chosen at random.

use std::fmt;

use bytes::Bytes;
use logmill_model::{Record, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::harness::mix;

/// How many partitions there are at a time.
pub(crate) const PARTITIONS: u32 = 4;

/// One step.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    /// Commits on their way at once.
    Append(Vec<CommitShape>),
    /// All that is on its way is heard of.
    Settle,
    /// Reads from somewhere, while commits may be on their way.
    Read(Read),
    /// The start of a partition moves up, to so many parts of a thousand.
    Trim { partition: u32, to: u64 },
    /// The topic of a partition is deleted, and one of the same name is made.
    Forget { partition: u32 },
    /// The cleaner does so many jobs.
    Clean { jobs: u32, views: Views },
    /// The cleaner does a job up to where it counts, and no further yet.
    Prepare(Views),
    /// What was prepared counts from now on.
    Install,
    /// What was prepared was refused.
    Discard,
    /// The broker is stopped in order, and started again.
    Close,
    /// The broker dies where it is, and is started again.
    Crash(Crash),
    /// It will die at the nth operation of its disk from now.
    DieAt { operation: u64, crash: Crash },
    /// The nth sync from now fails.
    FailSync { sync: u64, crash: Crash },
}

/// How far the broker's views have come: so many commits behind the newest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Views {
    pub(crate) behind: u64,
}

/// The appends of a commit.
#[derive(Clone)]
pub(crate) struct CommitShape(pub(crate) Vec<AppendShape>);

impl fmt::Debug for CommitShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A batch for a partition.
#[derive(Clone)]
pub(crate) struct AppendShape {
    pub(crate) partition: u32,
    pub(crate) records: Vec<RecordShape>,
}

impl fmt::Debug for AppendShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.partition, self.records)
    }
}

/// What a record is like; its bytes are a function of this and of a number.
#[derive(Clone)]
pub(crate) struct RecordShape {
    key: Option<u8>,
    value_bytes: Option<usize>,
}

impl fmt::Debug for RecordShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            Some(key) => write!(f, "{key}=")?,
            None => f.write_str("_=")?,
        }
        match self.value_bytes {
            Some(bytes) => write!(f, "{bytes} B"),
            None => f.write_str("none"),
        }
    }
}

impl RecordShape {
    pub(crate) fn record(&self, number: u64) -> Record {
        let value = self.value_bytes.map(|length| {
            let words = (0..).flat_map(|word| mix(number, word).to_le_bytes());
            words.take(length).collect::<Bytes>()
        });
        let key = self.key.map(|key| Bytes::from(format!("key {key}")));
        Record { key, value, create_ts: Timestamp(number), ..Record::default() }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) partition: u32,
    /// Where, in parts of a thousand from start to end.
    pub(crate) from: u64,
    pub(crate) bytes_max: usize,
}

/// How a broker dies, and how it comes back.
#[derive(Debug, Clone)]
pub(crate) struct Crash {
    /// Whether the machine dies too: what was not synced is lost, or not, or in part.
    pub(crate) power: bool,
    pub(crate) seed: u64,
    /// Each start but the last is cut off at this operation, too.
    pub(crate) starts_cut_at: Vec<u64>,
}

fn record() -> impl Strategy<Value = RecordShape> {
    let key = prop_oneof![9 => (0..6_u8).prop_map(Some), 1 => Just(None)];
    let value_bytes = prop_oneof![
        12 => (0..300_usize).prop_map(Some),
        6 => (300..3000_usize).prop_map(Some),
        1 => (4000..9000_usize).prop_map(Some),
        3 => Just(None),
    ];
    (key, value_bytes).prop_map(|(key, value_bytes)| RecordShape { key, value_bytes })
}

fn commit() -> impl Strategy<Value = CommitShape> {
    let append = (0..PARTITIONS, vec(record(), 1..5))
        .prop_map(|(partition, records)| AppendShape { partition, records });
    vec(append, 1..4).prop_map(CommitShape)
}

fn crash() -> impl Strategy<Value = Crash> {
    let cuts = prop_oneof![3 => Just(vec![]), 1 => vec(1..30_u64, 1..3)];
    (any::<bool>(), any::<u64>(), cuts).prop_map(|(power, seed, starts_cut_at)| Crash {
        power,
        seed,
        starts_cut_at,
    })
}

fn views() -> impl Strategy<Value = Views> {
    prop_oneof![4 => Just(0), 1 => 0..60_u64].prop_map(|behind| Views { behind })
}

fn operation() -> impl Strategy<Value = Operation> {
    let read = (0..PARTITIONS, 0..1001_u64, prop_oneof![Just(1), Just(2000), Just(1 << 20)])
        .prop_map(|(partition, from, bytes_max)| Read { partition, from, bytes_max });
    prop_oneof![
        12 => vec(commit(), 1..6).prop_map(Operation::Append),
        3 => Just(Operation::Settle),
        5 => read.prop_map(Operation::Read),
        3 => (0..PARTITIONS, prop_oneof![0..1001_u64, Just(1000)])
            .prop_map(|(partition, to)| Operation::Trim { partition, to }),
        1 => (0..PARTITIONS).prop_map(|partition| Operation::Forget { partition }),
        4 => (1..6_u32, views()).prop_map(|(jobs, views)| Operation::Clean { jobs, views }),
        2 => views().prop_map(Operation::Prepare),
        2 => Just(Operation::Install),
        1 => Just(Operation::Discard),
        1 => Just(Operation::Close),
        2 => crash().prop_map(Operation::Crash),
        2 => (1..60_u64, crash())
            .prop_map(|(operation, crash)| Operation::DieAt { operation, crash }),
        1 => (1..8_u64, crash()).prop_map(|(sync, crash)| Operation::FailSync { sync, crash }),
    ]
}

/// A history.
pub(crate) fn history() -> impl Strategy<Value = Vec<Operation>> {
    vec(operation(), 1..70)
}
