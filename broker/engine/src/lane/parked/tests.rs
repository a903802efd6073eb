//! What is parked, against a list that is searched.

use logmill_model::internal::FailedAttempts;
use proptest::prelude::*;

use super::*;

fn failed(retry_at: u64) -> Option<FailedAttempts> {
    let at = Timestamp(1);
    let retry_at = Timestamp(retry_at);
    Some(FailedAttempts { attempts: 1, first_failed_ts: at, last_failed_ts: at, retry_at })
}

fn hole(key: u64, failed: Option<FailedAttempts>) -> HoleRecord {
    HoleRecord { key, bytes: 10, failed, crashes: 0, place: None }
}

fn parked(order: Order, holes: &[(u64, HoleRecord)]) -> Parked {
    let holes: BTreeMap<_, _> =
        holes.iter().map(|(at, hole)| (Offset(*at), hole.clone())).collect();
    Parked::new(order, holes.into())
}

fn taken(parked: &Parked, now: u64, max: usize) -> Vec<u64> {
    parked.take_up(Timestamp(now), max).into_iter().map(|offset| offset.0).collect()
}

#[test]
fn a_key_waits_for_its_first_record_and_others_do_not() {
    let holes = [(3, hole(7, failed(50))), (4, hole(7, None)), (5, hole(8, failed(20)))];
    let mut parked = parked(Order::Key, &holes);
    assert_eq!((parked.first(), parked.next_due()), (Some(Offset(3)), Some(Timestamp(20))));
    assert!(parked.holds(7) && parked.holds(8) && !parked.holds(9));
    assert!(taken(&parked, 19, 64).is_empty());
    assert_eq!(taken(&parked, 49, 64), [5]);
    assert_eq!(taken(&parked, 50, 64), [3, 5], "what follows a record that failed is not taken up");
    parked.settle(Offset(3));
    assert_eq!(taken(&parked, 0, 64), [4], "at once");
    assert!(parked.is_due(Offset(4), Timestamp(0)) && !parked.is_due(Offset(5), Timestamp(19)));
    parked.settle(Offset(4));
    assert!(!parked.holds(7));
    let changes: Vec<_> = parked.take_changes().into_iter().collect();
    assert_eq!(changes, [(Offset(3), None), (Offset(4), None)]);
    assert_eq!(parked.take_changes().len(), 0);
}

#[test]
fn what_waited_for_a_record_is_taken_up_together() {
    let holes: Vec<_> = (0..10).map(|at| (at, hole(7, None))).collect();
    let parked = parked(Order::Key, &holes);
    assert_eq!(taken(&parked, 0, 4), [0, 1, 2, 3]);
}

#[test]
fn in_the_order_of_the_partition_nothing_new_is_taken_up_while_something_is_parked() {
    let holes = [(3, hole(7, failed(50))), (4, hole(8, failed(20)))];
    let mut parked = parked(Order::Partition, &holes);
    let max = ParkedMax { records: 10, bytes: 1000 };
    assert_eq!((parked.has_room(max), parked.next_due()), (false, Some(Timestamp(50))));
    parked.settle(Offset(3));
    parked.settle(Offset(4));
    assert!(parked.has_room(max));
}

#[test]
fn a_hole_of_no_known_key_holds_all_keys() {
    let parked = parked(Order::Key, &[(3, hole(UNKNOWN, failed(50)))]);
    assert!(parked.holds(7));
}

#[test]
fn attempts_that_a_cursor_tells_of_become_a_hole_that_is_written() {
    let mut cursor = LaneCursor::new(1, Offset(10));
    cursor.record.failed = failed(50);
    let (record, mut parked) = Parked::of(Order::Key, cursor);
    assert_eq!((record.next, record.failed), (Offset(11), None));
    assert_eq!((parked.first(), parked.next_due()), (Some(Offset(10)), Some(Timestamp(50))));
    assert!(parked.holds(7), "its key is not known");
    let changes: Vec<_> = parked.take_changes().into_iter().collect();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].1.as_ref().unwrap().failed, failed(50));
}

#[test]
fn parked_records_are_bounded_in_number_and_in_bytes() {
    let holes: Vec<_> = (0..10).map(|at| (at, hole(at + 1, failed(9)))).collect();
    let parked = parked(Order::Key, &holes);
    for (records, bytes, has_room) in [(11, 101, true), (10, 101, false), (11, 100, false)] {
        assert_eq!(parked.has_room(ParkedMax { records, bytes }), has_room, "{records} {bytes}");
    }
}

#[derive(Debug, Clone)]
enum Op {
    Park(u64, u64, Option<u64>),
    Settle(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let park = (0..30_u64, 1..5_u64, proptest::option::of(1..20_u64));
    prop_oneof![
        park.prop_map(|(at, key, due)| Op::Park(at, key, due)),
        (0..30_u64).prop_map(Op::Settle),
    ]
}

proptest! {
    #[test]
    fn only_the_first_of_each_key_is_ever_due(ops in proptest::collection::vec(op(), 0..60), now in 0..20_u64) {
        let mut parked = Parked::new(Order::Key, Holes::default());
        let mut model = BTreeMap::<u64, HoleRecord>::new();
        for op in ops {
            match op {
                // A record does not change its key.
                Op::Park(at, key, due) => {
                    let key = model.get(&at).map_or(key, |hole| hole.key);
                    let hole = hole(key, due.and_then(failed));
                    parked.park(Offset(at), hole.clone());
                    model.insert(at, hole);
                }
                Op::Settle(at) => {
                    parked.settle(Offset(at));
                    model.remove(&at);
                }
            }
        }
        let is_first = |at: u64, key| model.iter().all(|(other, it)| it.key != key || *other >= at);
        let due = |hole: &HoleRecord| hole.failed.as_ref().map_or(0, |it| it.retry_at.0);
        let firsts: Vec<(u64, u64)> = model
            .iter()
            .filter(|(at, hole)| is_first(**at, hole.key))
            .map(|(at, hole)| (due(hole), *at))
            .collect();
        prop_assert_eq!(parked.next_due(), firsts.iter().min().map(|(at, _)| Timestamp(*at)));
        for at in 0..30 {
            let is_due = firsts.iter().any(|(due, it)| *it == at && *due <= now);
            prop_assert_eq!(parked.is_due(Offset(at), Timestamp(now)), is_due, "{}", at);
        }
        prop_assert_eq!(parked.bytes, 10 * model.len() as u64);
        let mut committed: BTreeMap<_, _> = parked
            .take_changes()
            .into_iter()
            .filter_map(|(at, hole)| hole.map(|hole| (at, hole)))
            .collect();
        prop_assert_eq!(&committed, &parked.holes);
        // Taken up in order, each when it is its turn, all are settled.
        while !committed.is_empty() {
            let taken = parked.take_up(Timestamp(u64::MAX), 3);
            prop_assert!(!taken.is_empty());
            for at in taken {
                prop_assert!(parked.is_due(at, Timestamp(u64::MAX)));
                parked.settle(at);
                committed.remove(&at);
            }
        }
    }
}
