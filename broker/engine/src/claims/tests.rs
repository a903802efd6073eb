//! Whose a key is, from when it is asked for until its claim is forgotten.

use std::time::Duration;

use logmill_model::TopicId;
use tokio::time::timeout;

use super::*;

const WINDOW_MS: u64 = 100;
const NOW: Timestamp = Timestamp(1_000_000);

fn claims(room: usize) -> Arc<Claims> {
    let claims = Claims::with_room(DeploymentId(3), WINDOW_MS, room);
    claims.known().durable = Table::new(WINDOW_MS, NOW, Offset(0));
    Arc::new(claims)
}

/// What the lane on this partition holds: nothing.
fn lane(claims: &Arc<Claims>, index: u32) -> HeldKeys {
    HeldKeys::none(Arc::clone(claims), PartitionId::new(TopicId(17), index))
}

fn ask(keys: &mut HeldKeys, key: &'static str, offset: u64, now: Timestamp) -> Answer {
    keys.ask(Bytes::from_static(key.as_bytes()), Offset(offset), now).1
}

#[test]
fn a_key_is_held_for_its_record_until_that_is_settled() {
    let claims = claims(10);
    let (mut a, mut b) = (lane(&claims, 0), lane(&claims, 1));
    assert_eq!(ask(&mut a, "k", 7, NOW), Answer::First);
    assert_eq!(ask(&mut a, "k", 7, NOW), Answer::Own);
    assert_eq!(ask(&mut a, "k", 8, NOW), Answer::Earlier(Offset(7)));
    assert_eq!(ask(&mut b, "k", 7, NOW), Answer::Held);
    assert_eq!(ask(&mut b, "other", 7, NOW), Answer::First);
    drop(a);
    assert_eq!(ask(&mut b, "k", 9, NOW), Answer::First, "what is given back is free");
    let records: Vec<Record> = b.records().collect();
    assert_eq!(records[1].key.as_deref(), Some(&b"k"[..]));
    b.are_durable(Offset(0), NOW);
    let mut a = lane(&claims, 0);
    assert_eq!(ask(&mut a, "other", 8, NOW), Answer::Seen(Offset(0)));
    assert_eq!(ask(&mut a, "k", 8, NOW), Answer::Seen(Offset(1)));
    assert_eq!(ask(&mut a, "k", 8, NOW.plus_ms(WINDOW_MS - 1)), Answer::Seen(Offset(1)));
    assert_eq!(ask(&mut a, "k", 8, NOW.plus_ms(WINDOW_MS)), Answer::First);
}

#[test]
fn what_a_call_holds_goes_to_its_run_and_is_given_back_once() {
    let claims = claims(10);
    let mut run = lane(&claims, 0);
    ask(&mut run, "k", 1, NOW);
    let bytes = run.call_bytes();
    assert!(bytes > 0);
    assert_eq!((run.keep(), run.call_bytes()), (bytes, 0));
    ask(&mut run, "of a call that failed", 2, NOW);
    run.release_call();
    assert_eq!((run.call_bytes(), run.records().count()), (0, 1));
    let mut other = lane(&claims, 1);
    assert_eq!(ask(&mut other, "k", 1, NOW), Answer::Held);
    assert_eq!(ask(&mut other, "of a call that failed", 1, NOW), Answer::First);
    drop((run, other));
    assert_eq!(claims.known().held.len(), 0);
}

#[test]
fn no_more_are_claimed_than_there_is_room_for_until_some_have_left_the_window() {
    let claims = claims(2);
    let mut a = lane(&claims, 0);
    ask(&mut a, "1", 1, NOW);
    a.are_durable(Offset(0), NOW);
    let mut a = lane(&claims, 0);
    assert_eq!(ask(&mut a, "2", 2, NOW), Answer::First);
    assert_eq!(ask(&mut a, "3", 3, NOW), Answer::Full, "those under way count as well");
    assert_eq!(ask(&mut a, "1", 3, NOW), Answer::Seen(Offset(0)), "a duplicate needs no room");
    assert_eq!(ask(&mut a, "3", 3, NOW.plus_ms(WINDOW_MS - 1)), Answer::Full);
    assert_eq!(ask(&mut a, "3", 3, NOW.plus_ms(WINDOW_MS)), Answer::First);
}

#[tokio::test]
async fn who_waits_for_a_key_goes_on_when_its_holder_is_settled_either_way() {
    let claims = claims(10);
    let source = PartitionId::new(TopicId(17), 1);
    let waits = |key: Fingerprint| {
        let claims = Arc::clone(&claims);
        tokio::spawn(async move { claims.until_free(key, source).await })
    };
    for is_committed in [false, true] {
        let mut a = lane(&claims, 0);
        let (key, answer) = a.ask("k".into(), Offset(1), NOW);
        assert_eq!(answer, Answer::First);
        let waiting = waits(key);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished());
        // Another key, of another record, changes nothing.
        ask(&mut lane(&claims, 0), "other", 2, NOW);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished());
        match is_committed {
            true => a.are_durable(Offset(0), NOW),
            false => drop(a),
        }
        timeout(Duration::from_secs(60), waiting).await.unwrap().unwrap();
    }
}
