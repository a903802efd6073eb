//! What a call sees, and what is left of it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn lane(keys: &[(&str, &str)]) -> Arc<LaneState> {
    let lane = Arc::new(LaneState::default());
    let changes = keys.iter().map(|(key, value)| ((*key).to_owned(), Some(text(value))));
    lane.apply(changes.collect(), 1);
    lane
}

fn run_of(lane: &Arc<LaneState>) -> StateBuffer {
    StateBuffer::new(Arc::clone(lane))
}

fn text(value: &str) -> Bytes {
    Bytes::copy_from_slice(value.as_bytes())
}

fn kept(buffer: &mut StateBuffer) -> Vec<(String, Option<Bytes>)> {
    buffer.take().into_iter().collect()
}

#[test]
fn what_is_not_kept_is_forgotten_and_what_is_is_seen_by_later_records() {
    let lane = lane(&[("a", "1"), ("b", "1")]);
    let mut buffer = run_of(&lane);
    buffer.begin();
    buffer.change("a", Some(text("x"))).unwrap();
    buffer.change("b", None).unwrap();
    assert_eq!((buffer.get("a"), buffer.get("b")), (Some(text("x")), None));
    buffer.begin();
    assert!(!buffer.is_changed());
    assert_eq!((buffer.get("a"), buffer.get("b")), (Some(text("1")), Some(text("1"))));
    buffer.change("a", Some(text("2"))).unwrap();
    assert!(buffer.is_changed());
    assert!(buffer.keep() > 0);
    buffer.begin();
    assert_eq!(buffer.get("a"), Some(text("2")), "a later record of the run sees it");
    assert_eq!(lane.read().get("a"), Some(&text("1")), "it is not durable yet");
    assert_eq!(kept(&mut buffer), [("a".to_owned(), Some(text("2")))]);
}

#[test]
fn a_run_commits_the_last_value_of_each_key_and_nothing_that_came_and_went() {
    let mut memory = run_of(&lane(&[("there", "1")]));
    for (key, value) in [
        ("new", Some("1")),
        ("there", None),
        ("gone", Some("1")),
        ("new", Some("2")),
        ("gone", None),
        ("never", None),
    ] {
        memory.begin();
        memory.change(key, value.map(text)).unwrap();
        memory.keep();
    }
    memory.begin();
    memory.change("within", Some(text("1"))).unwrap();
    memory.change("within", None).unwrap();
    memory.keep();
    assert_eq!(
        kept(&mut memory),
        [("new".to_owned(), Some(text("2"))), ("there".to_owned(), None)]
    );
}

#[test]
fn a_lane_holds_no_more_than_its_limit_and_can_always_be_made_smaller() {
    let large = Bytes::from(vec![0; 1 << 20]);
    let lane = lane(&[]);
    let most = STATE_BYTES_MAX / cost("00", &large);
    for key in 0..most {
        lane.apply([(format!("{key:02}"), Some(large.clone()))].into(), 1);
    }
    let mut memory = run_of(&lane);
    memory.begin();
    assert_eq!(memory.change("more", Some(large.clone())), Err(STATE_FULL));
    memory.begin();
    memory.change("00", Some(large.clone())).unwrap();
    memory.change("00", Some(Bytes::new())).unwrap();
    memory.change("more", Some(large.slice(1 << 10..))).unwrap();
    memory.keep();
    memory.begin();
    assert_eq!(
        memory.change("01", Some([&large[..], &large[..]].concat().into())),
        Err(STATE_FULL)
    );
    // As a broker with a higher limit left it.
    lane.apply([("over".to_owned(), Some(vec![0; STATE_BYTES_MAX].into()))].into(), 2);
    let mut memory = run_of(&lane);
    memory.begin();
    memory.change("00", None).unwrap();
    memory.change("01", Some(text("small"))).unwrap();
    assert_eq!(memory.change("new", Some(text(""))), Err(STATE_FULL));
}

#[test]
fn a_call_changes_no_more_than_its_limit() {
    let mut memory = run_of(&lane(&[]));
    memory.begin();
    let half = Bytes::from(vec![0; STATE_CALL_BYTES_MAX / 2]);
    memory.change("a", Some(half.clone())).unwrap();
    // Again is not more.
    memory.change("a", Some(half.clone())).unwrap();
    assert_eq!(memory.change("b", Some(half)), Err(CALL_FULL));
}

#[derive(Debug, Clone)]
enum Step {
    Change(usize, Option<usize>),
    /// The record is settled; whether it is done.
    Settle(bool),
    /// The run is committed, or refused.
    End(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..5_usize, prop::option::of(0..9_usize)).prop_map(|(key, value)| Step::Change(key, value)),
        3 => any::<bool>().prop_map(Step::Settle),
        1 => any::<bool>().prop_map(Step::End),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    /// Against three plain maps.
    #[test]
    fn a_lane_remembers_what_counted_and_what_was_committed(steps in steps()) {
        let lane = lane(&[]);
        let mut memory = run_of(&lane);
        let (mut durable, mut run, mut call) = <[BTreeMap<String, Bytes>; 3]>::default().into();
        let mut revision = 0;
        memory.begin();
        for step in steps {
            match step {
                Step::Change(key, value) => {
                    let (key, value) = (key.to_string(), value.map(|it| Bytes::from(vec![0; it])));
                    memory.change(&key, value.clone()).unwrap();
                    match value {
                        Some(value) => call.insert(key, value),
                        None => call.remove(&key),
                    };
                }
                Step::Settle(is_done) => {
                    if is_done {
                        memory.keep();
                    }
                    if is_done { run = call.clone() } else { call = run.clone() }
                    memory.begin();
                }
                Step::End(is_committed) => {
                    let kept = memory.take();
                    if is_committed {
                        revision += 1;
                        lane.apply(kept, revision);
                        durable = run.clone();
                    }
                    (run, call) = (durable.clone(), durable.clone());
                    memory = run_of(&lane);
                    memory.begin();
                }
            }
            for key in (0..5_usize).map(|key| key.to_string()) {
                prop_assert_eq!(memory.get(&key), call.get(&key).cloned());
                prop_assert_eq!(lane.read().get(&key).cloned(), durable.get(&key).cloned());
            }
            let bytes = |of: &BTreeMap<String, Bytes>| of.iter().map(|(key, value)| cost(key, value)).sum::<usize>();
            let counted = &memory;
            prop_assert_eq!(lane.read().bytes(), bytes(&durable));
            prop_assert_eq!((counted.run.state_bytes, counted.call.state_bytes), (bytes(&run), bytes(&call)));
            let changed = |layer: &Layer| layer.changes.iter().map(|(key, value)| change_bytes(key, value.as_ref())).sum::<usize>();
            prop_assert_eq!((counted.run.bytes, counted.call.bytes), (changed(&counted.run), changed(&counted.call)));
        }
    }
}
