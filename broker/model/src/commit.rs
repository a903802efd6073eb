//! The one door: every change of durable state is one [`Commit`], and has one [`Outcome`].

use crate::{
    BatchKeys, CommitClass, Csn, DuplicateRecord, Epoch, LaneId, Offset, PartitionId,
    ProducerStamp, RecordBatch, SequencedBatch, Timestamp,
};

/// What is to be appended, all or nothing, and what must hold for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Commit {
    /// In order; two appends to one partition lie in this order.
    pub appends: Vec<Append>,
    /// Judged against all that was sequenced before, durable yet or not.
    pub preconditions: Vec<Precondition>,
    /// What it is for: whether it is taken in when the disk runs full.
    pub class: CommitClass,
}

impl Commit {
    /// The bytes of its batches: what waits in memory until the commit is durable.
    #[must_use]
    pub fn batch_bytes(&self) -> usize {
        self.appends.iter().map(|append| append.batch.bytes().len()).sum()
    }
}

/// One batch for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Where to.
    pub partition: PartitionId,
    /// What; base offset 0 is the partition's end when the commit is sequenced.
    pub batch: RecordBatch,
    /// Who from, where the producer has an id.
    pub producer: Option<ProducerStamp>,
    /// How many modules the records have come through.
    pub hops: u8,
    /// The idempotency keys of its records, where its topic looks at them.
    pub keys: Option<BatchKeys>,
}

impl Append {
    /// A batch of a client, or of the broker itself.
    #[must_use]
    pub fn new(partition: PartitionId, batch: RecordBatch) -> Self {
        Self { partition, batch, producer: None, hops: 0, keys: None }
    }
}

/// What must hold when the commit is sequenced. That the partitions of its appends exist goes
/// without saying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// The partition ends at this offset.
    EndOffset {
        /// The partition.
        partition: PartitionId,
        /// Its end.
        end: Offset,
    },
    /// The lane's cursor stands at this generation and revision; a lane without a cursor stands
    /// at (0, 0). So a later commit of a lane can't jump over an earlier, refused one.
    Cursor {
        /// The lane.
        lane: LaneId,
        /// How often the cursor was moved by hand.
        generation: u32,
        /// How often it was committed.
        revision: u64,
    },
}

/// Where a commit came to lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its number.
    pub csn: Csn,
    /// The start of the broker that committed it.
    pub epoch: Epoch,
    /// When it was sequenced.
    pub time: Timestamp,
    /// The base offset of each append, in the commit's order.
    pub base_offsets: Vec<Offset>,
    /// The records that were not stored, since their idempotency keys were there, each with the
    /// number of its append. An append that is left with none has no batch.
    pub duplicates: Vec<(usize, DuplicateRecord)>,
}

/// Why a commit was not sequenced. Nothing of it happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An append goes to a partition that does not exist (any more).
    #[error("partition {0} does not exist")]
    NoSuchPartition(PartitionId),
    /// A partition does not end where the commit expects.
    #[error("partition {partition} ends at {end}, not where the commit expects")]
    EndMoved {
        /// The partition.
        partition: PartitionId,
        /// Its real end.
        end: Offset,
    },
    /// A cursor has moved since its owner last committed it.
    #[error("the cursor of lane {0} has moved")]
    StaleCursor(LaneId),
    /// The commit is larger than an entry may be.
    #[error("commit has {bytes} bytes, at most {max} are allowed")]
    TooLarge {
        /// Its size as an entry.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The commit has more appends than an entry may.
    #[error("commit has {appends} appends, at most {max} are allowed")]
    TooManyAppends {
        /// How many it has.
        appends: usize,
        /// The limit.
        max: usize,
    },
    /// An append goes to a partition whose topic rejects more while it is full.
    #[error("partition {partition} is full: it has {bytes} bytes and rejects more at {max}")]
    Full {
        /// The partition.
        partition: PartitionId,
        /// What it has, with what is on its way.
        bytes: u64,
        /// What it may have.
        max: u64,
    },
    /// Every append with a producer's stamp was made before: what became of it then, in the order of
    /// these appends. Told only when that is durable.
    #[error("it was appended before")]
    Duplicate(Vec<SequencedBatch>),
    /// No record of the commit is to be stored: all their idempotency keys were there. Where, in the
    /// order of its appends; and where the partitions of these end. Told only when that is durable.
    #[error("records with these idempotency keys are there")]
    KeysKnown {
        /// The newest commit that it rests on, and its time.
        csn: Csn,
        /// The time of that.
        time: Timestamp,
        /// The end of the partition of each append.
        ends: Vec<Offset>,
        /// Each with the number of its append.
        duplicates: Vec<(usize, DuplicateRecord)>,
    },
    /// There are as many idempotency keys within their windows as may be remembered.
    #[error(
        "too many idempotency keys within the dedupe-window of partition {0}'s topic and of others; try again when some have left it, or make it shorter"
    )]
    KeysFull(PartitionId),
    /// An append was made before, so long ago that it is not known any more where it lies.
    #[error(
        "batch {sequence} of producer {producer} was appended to {partition} before its last {known} batches there, and where is not known any more",
        known = crate::limits::PRODUCER_BATCHES_MAX
    )]
    OldDuplicate {
        /// The producer.
        producer: u64,
        /// Where to.
        partition: PartitionId,
        /// The sequence of its first record.
        sequence: u64,
    },
    /// An append does not follow the producer's last one.
    #[error(
        "batch {sequence} of producer {producer} does not follow what it has appended to {partition}: {}; send what is missing first",
        last.map_or_else(|| "nothing, so sequence 0 is next".to_owned(), |last| format!("the last sequence is {last}"))
    )]
    SequenceGap {
        /// The producer.
        producer: u64,
        /// Where to.
        partition: PartitionId,
        /// The sequence of its first record.
        sequence: u64,
        /// The last sequence there; None when there is none.
        last: Option<u64>,
    },
    /// The producer has registered again since: this is an older holder of its id.
    #[error(
        "producer {producer} has epoch {current} by now, and this batch is of epoch {epoch}; another holder of its name has taken over"
    )]
    Fenced {
        /// The producer.
        producer: u64,
        /// The epoch of the append.
        epoch: u32,
        /// The newest one.
        current: u32,
    },
    /// The producer never registered, or not for too long.
    #[error(
        "producer {0} is not known (any more); register anew, and read back what has no answer"
    )]
    UnknownProducer(u64),
    /// The disk has no room for a commit of this class. Judged before anything else.
    #[error("no room on the broker's disk; free some, or delete a topic: it goes on by itself")]
    DiskFull,
    /// An append has no records, or is to an internal topic and not of its layout.
    #[error("append to {partition} is not valid: {what}")]
    Invalid {
        /// Where to.
        partition: PartitionId,
        /// What is wrong.
        what: String,
    },
}

/// What became of a proposed commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Durable and visible.
    Committed(Committed),
    /// Did not happen. Told only when all that the judgement rests on is durable.
    Refused(Refusal),
    /// The broker stopped with the commit in flight: it is there whole or not at all, and only
    /// reading back tells which.
    Unknown,
}
