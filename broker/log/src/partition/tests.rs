//! Which parts of which files an offset leads to.

use logmill_model::{Compression, Csn, PartitionId, Timestamp, TopicId};

use super::*;
use crate::file_header::{FileHeader, FileKind, Salt};
use crate::index::{IndexBuilder, Seal};
use crate::span::PointsOf;

const PARTITION: PartitionId = PartitionId::new(TopicId(16), 0);

fn file(id: u64) -> Arc<LogFile> {
    let header = FileHeader {
        kind: FileKind::Journal,
        shard: logmill_model::ShardId(0),
        cluster: logmill_model::ClusterId([0; 16]),
        salt: Salt([0; 16]),
        first: Csn(1),
        epoch: logmill_model::Epoch(1),
        supersedes: None,
    };
    Arc::new(LogFile::new(id, "journal/a.journal", header))
}

fn envelope(base: u64, last_delta: u32) -> Envelope {
    Envelope {
        base_offset: Offset(base),
        append_ts: Timestamp(base),
        csn: Csn(1),
        producer: None,
        last_delta,
        records: 1,
        bytes: 936,
        crc: 0,
        rewritten: false,
        compression: Compression::None,
        hops: 0,
    }
}

fn place(n: u64) -> EntryPlace {
    EntryPlace::new(4096 + n * 40_000, 1100)
}

/// Batches of two offsets from `bases`, in a file that is sealed.
fn span(id: u64, bases: &[u64]) -> Span {
    let mut index = IndexBuilder::default();
    for (n, base) in bases.iter().enumerate() {
        index.add(PARTITION, place(n as u64), &envelope(*base, 1));
    }
    let newest = crate::active_file::Newest::default();
    let reason = crate::entry::SealReason::Rolled;
    let seal = Seal { reason, prev_crc: 0, newest, end: 0 };
    let (summary, _) = index.finish(Salt([0; 16]), Csn(1), seal);
    Span::new(&summary.partitions[0], &file(id))
}

/// Offsets 3 to 13 in one file, 15 to 19 in the next, where compaction left holes, and 19 to 23 in
/// the one being written.
fn example() -> Partition {
    let partition = Partition::default();
    partition.push_span(span(0, &[3, 5, 9, 11])).unwrap();
    partition.push_span(span(1, &[15, 17])).unwrap();
    let growing = file(2);
    partition.push_place(&growing, place(0), &envelope(19, 1));
    partition.push_place(&growing, place(1), &envelope(21, 1));
    partition
}

/// The files that reading so leads to, and the first points of the one being written.
fn files(partition: &Partition, from: u64, bytes_max: usize) -> Vec<(u64, Option<u64>)> {
    let Available::OnDisk(stretches, None) = partition.available(Offset(from), bytes_max) else {
        panic!("it is on disk");
    };
    let points = |stretch: &Stretch| match &stretch.points {
        PointsOf::Sealed(_) => None,
        PointsOf::Growing(points) => points.first().map(|point| point.base.0),
    };
    stretches.iter().map(|stretch| (stretch.file.id, points(stretch))).collect()
}

#[test]
fn any_offset_leads_to_the_file_that_holds_it_or_the_next_one() {
    let partition = example();
    assert_eq!(partition.ends(), (Offset(3), Offset(23)));
    for (from, file) in [(3, 0), (7, 0), (12, 0), (13, 1), (14, 1), (15, 1), (18, 1)] {
        assert_eq!(files(&partition, from, 1)[0], (file, None), "{from}");
    }
    for (from, base) in [(19, 19), (20, 19), (21, 21), (22, 21)] {
        assert_eq!(files(&partition, from, 1)[0], (2, Some(base)), "{from}");
    }
    let none = partition.available(Offset(23), 1);
    assert!(matches!(none, Available::InMemory(batches) if batches.is_empty()));
    let gone = partition.available(Offset(2), 1);
    assert!(matches!(gone, Available::Gone { start: Offset(3), end: Offset(23) }));
}

#[test]
fn a_read_is_led_no_further_than_it_has_bytes_for_and_one_file() {
    let partition = example();
    assert_eq!(files(&partition, 3, 1).len(), 2);
    assert_eq!(files(&partition, 3, 2000).len(), 2);
    assert_eq!(files(&partition, 3, 2001).len(), 3);
}

#[test]
fn what_is_sealed_is_led_to_by_its_index_and_what_was_trimmed_is_gone() {
    let partition = example();
    let sealed = span(9, &[19, 21]);
    let summary = PartitionSummary {
        partition: PARTITION,
        base: sealed.base,
        end: sealed.end,
        records: 2,
        bytes: sealed.bytes,
        first_time: sealed.first_time,
        last_time: sealed.last_time,
        points: sealed.points,
    };
    partition.seal(&summary, &file(9));
    assert_eq!(files(&partition, 20, 1), [(2, Some(19))], "another file is sealed");
    let growing = Arc::clone(&partition.read().growing.as_ref().unwrap().file);
    partition.seal(&summary, &growing);
    assert_eq!(files(&partition, 20, 1), [(2, None)]);

    partition.trim(Offset(14));
    partition.trim(Offset(12));
    assert_eq!(partition.ends(), (Offset(15), Offset(23)));
    assert_eq!(partition.read().spans.len(), 2);
    partition.trim(Offset(40));
    assert_eq!(partition.ends(), (Offset(40), Offset(40)));
    partition.push_place(&file(3), place(0), &envelope(40, 1));
    assert_eq!(partition.ends(), (Offset(40), Offset(42)));
}

#[test]
fn a_file_that_begins_below_the_end_is_refused() {
    let partition = example();
    assert_eq!(partition.push_span(span(3, &[22])).unwrap_err(), Offset(23));
}
