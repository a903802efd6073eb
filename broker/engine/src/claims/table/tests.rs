//! The table against one that remembers everything.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const WINDOW_MS: u64 = 100;
const SINCE: Timestamp = Timestamp(1_000_000);

fn key(number: u64) -> Fingerprint {
    Fingerprint::of(&number.to_le_bytes())
}

fn table(begin: u64) -> Table {
    Table::new(WINDOW_MS, SINCE, Offset(begin))
}

#[test]
fn a_claim_is_known_up_to_the_last_millisecond_of_its_window() {
    let mut table = table(40);
    let at = SINCE.plus_ms(7);
    table.insert(Offset(40), at, key(1));
    assert_eq!(table.get(key(1), at), Some(Offset(40)));
    assert_eq!(table.get(key(2), at), None);
    assert_eq!(table.get(key(1), at.plus_ms(WINDOW_MS - 1)), Some(Offset(40)));
    assert_eq!(table.get(key(1), at.plus_ms(WINDOW_MS)), None);
    assert!(!table.expire(at.plus_ms(WINDOW_MS - 1), 10));
    assert_eq!(table.len(), 1);
    table.insert(Offset(41), at.plus_ms(WINDOW_MS), key(1));
    assert!(!table.expire(at.plus_ms(WINDOW_MS), 10));
    assert_eq!((table.len(), table.get(key(1), at.plus_ms(WINDOW_MS))), (1, Some(Offset(41))));
}

#[test]
fn claims_of_other_lanes_may_come_before_those_that_lie_before_them() {
    let mut table = table(0);
    table.insert(Offset(2), SINCE.plus_ms(2), key(2));
    table.insert(Offset(3), SINCE.plus_ms(2), key(3));
    assert!(!table.expire(SINCE.plus_ms(5 * WINDOW_MS), 10), "what is missing is not passed over");
    table.insert(Offset(0), SINCE.plus_ms(1), key(0));
    table.insert(Offset(1), SINCE.plus_ms(1), key(1));
    for number in 0..4 {
        assert_eq!(table.get(key(number), SINCE.plus_ms(3)), Some(Offset(number)));
    }
    assert!(!table.expire(SINCE.plus_ms(WINDOW_MS + 1), 10));
    assert_eq!((table.len(), table.get(key(1), SINCE)), (2, None));
}

#[test]
fn a_claim_is_found_where_it_lies_also_behind_what_was_lost() {
    let mut table = table(10);
    for (offset, number) in [(10, 1), (11, 2), (5000, 3), (5001, 4), (1 << 40, 5)] {
        table.go_on_at(Offset(offset));
        table.insert(Offset(offset), SINCE.plus_ms(number), key(number));
    }
    for (number, offset) in [(1, 10), (2, 11), (3, 5000), (4, 5001), (5, 1 << 40)] {
        assert_eq!(table.get(key(number), SINCE.plus_ms(9)), Some(Offset(offset)), "{number}");
    }
    table.expire(SINCE.plus_ms(WINDOW_MS + 3), 10);
    assert_eq!((table.len(), table.stretches.len()), (2, 2));
    assert_eq!(table.get(key(4), SINCE.plus_ms(9)), Some(Offset(5001)));
}

#[test]
fn as_many_claims_as_there_may_be_take_less_than_250_mb_and_give_them_back() {
    const CLAIMS: u64 = CLAIMS_MAX as u64;
    let mut table = table(0);
    // As a hash would be, and faster.
    let spread = |number: u64| {
        let half = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Fingerprint::of_claim(u128::from(half) << 64 | u128::from(half.rotate_left(32) ^ number))
    };
    for number in 0..CLAIMS {
        table.insert(Offset(number), SINCE.plus_ms(number / 100_000), spread(number));
    }
    let bytes = table.bytes();
    assert!(bytes < 250_000_000, "{bytes} bytes");
    for number in (0..CLAIMS).step_by(9973) {
        assert_eq!(table.get(spread(number), SINCE.plus_ms(99)), Some(Offset(number)));
    }
    while table.expire(SINCE.plus_ms(10 * WINDOW_MS), 1 << 16) {}
    assert_eq!(table.len(), 0);
    assert!(table.bytes() < 4_000_000, "{} bytes", table.bytes());
}

proptest! {
    #[test]
    fn a_key_is_known_as_long_as_its_newest_claim_is_within_the_window(
        steps in prop::collection::vec((0..12_u64, 0..40_u64, 0..3_usize), 1..400),
    ) {
        let mut table = table(7);
        let (mut known, mut now) = (HashMap::<u64, (Timestamp, Offset)>::new(), SINCE);
        let mut next = Offset(7);
        for (number, ms, expired) in steps {
            now = now.plus_ms(ms);
            let expected = known.get(&number).filter(|(time, _)| time.ms_until(now) < WINDOW_MS);
            let expected = expected.map(|(_, offset)| *offset);
            prop_assert_eq!(table.get(key(number), now), expected);
            if expected.is_none() {
                table.insert(next, now, key(number));
                known.insert(number, (now, next));
                next = next.next();
            }
            table.expire(now, expired);
        }
        table.expire(now, usize::MAX);
        let left = known.values().filter(|(time, _)| time.ms_until(now) < WINDOW_MS).count();
        let indexed: usize = table.index.iter().map(HashTable::len).sum();
        prop_assert_eq!((table.len(), indexed), (left, left));
    }
}
