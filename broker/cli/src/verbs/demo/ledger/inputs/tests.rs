//! The account of deliveries, right and with each thing that can be wrong.

use logmill_model::{Header, Offset, Record, Timestamp};

use super::*;
use crate::verbs::demo::deliveries::{DELIVERY, Delivery, Origin};
use crate::verbs::demo::expectation::Expectation;
use crate::verbs::demo::ledger::Row;

const EXPECTED: &str = r#"{"line":1,"attempts":[{"verdict":"retry"},{"verdict":"done"}],"outputs":[{"topic":"out","key":null,"value":"v"}]}
{"line":2,"attempts":[{"verdict":"drop"}],"outputs":[]}
{"line":3,"attempts":[{"verdict":"dead-letter"}],"outputs":[]}"#;
const GHOSTS: &str = r#"{"line":1,"attempts":[{"verdict":"done"}],"outputs":[{"topic":"out","key":null,"value":"g"}]}"#;

/// What is sent, in its order: a malformed one, one of each expected line, a poisoned one, and
/// those of the lines again.
const SENT: [&str; 8] = ["bad", "done", "drop", "dead", "ghost", "done", "drop", "dead"];

fn source() -> TopicName {
    "in".parse().unwrap()
}

fn consumed(offset: u64, id: &str) -> ConsumedRecord {
    let headers = vec![Header::new(DELIVERY, id.to_owned())];
    ConsumedRecord {
        partition: 0,
        offset: Offset(offset),
        append_ts: Timestamp(offset),
        record: Record { key: Some("k".into()), headers, ..Record::default() },
    }
}

fn output(offset: u64, value: &str) -> Written {
    let output = Output { topic: "out".into(), key: None, value: Some(value.into()) };
    Written { output, place: ("out".into(), 0, Offset(offset)), at: Timestamp(offset) }
}

fn death(offset: u64, is_redriven: bool) -> Death {
    Death {
        reason: "rejected".into(),
        attempts: 1,
        is_redriven,
        of: ("in".into(), 0, Offset(offset)),
        place: ("dlq".into(), 0, Offset(offset)),
        at: Timestamp(offset),
    }
}

fn inputs() -> Inputs {
    let mut inputs = Inputs::default();
    for (offset, id) in (0..).zip(SENT) {
        inputs.add(&source(), &consumed(offset, id)).unwrap();
    }
    inputs
}

fn right() -> Inputs {
    let mut inputs = inputs();
    assert!(inputs.add_output("done", output(1, "v")));
    assert!(inputs.add_output("ghost", output(9, "g")));
    for (offset, is_redriven) in [(0, false), (3, false), (4, true), (7, false)] {
        assert!(inputs.add_death(death(offset, is_redriven)));
    }
    inputs
}

fn account(inputs: Inputs) -> Account {
    let origin = |id: &str| match id {
        "bad" => Origin::Malformed,
        "ghost" => Origin::Ghost { line: 1, is_poisoned: true },
        "done" => Origin::Copy { line: 1, copy: 0 },
        "drop" => Origin::Copy { line: 2, copy: 0 },
        _ => Origin::Copy { line: 3, copy: 0 },
    };
    let delivery =
        |id: &str| Delivery { id: id.to_owned(), origin: origin(id), record: Record::default() };
    let all = SENT.map(delivery);
    let expectations = Expectations {
        lines: Expectation::parse(EXPECTED).unwrap(),
        ghosts: Expectation::parse(GHOSTS).unwrap(),
    };
    let mut account = Account::default();
    let sent = crate::verbs::demo::ledger::sent(&all);
    inputs.hold_against(&sent, &expectations, &mut account).unwrap();
    account
}

#[test]
fn the_expected_outcomes_add_up() {
    let account = account(right());
    assert_eq!(account.faults(), None);
    let row = Row {
        inputs: 8,
        duplicates: 2,
        outputs: 2,
        retried: 1,
        dropped: 1,
        dead_lettered: [("rejected".to_owned(), 4)].into(),
        redriven: 1,
        ..Row::default()
    };
    assert_eq!(account.sum(&[source()]), row);
    assert_eq!((row.done(), row.given_up()), (2, 3));
}

#[test]
fn an_outcome_that_is_missing_doubled_or_another_is_a_fault() {
    type Change = fn(&mut Inputs);
    let changes: [(&str, Change); 13] = [
        ("an output is missing", |inputs| {
            inputs.by_id.get_mut("done").unwrap().outputs.clear();
        }),
        ("a duplicate has an outcome", |inputs| {
            inputs.add_output("done", output(2, "v"));
        }),
        ("a duplicate is a dead letter", |inputs| {
            inputs.add_death(death(5, false));
        }),
        ("a duplicate did not come", |inputs| {
            inputs.by_id.get_mut("drop").unwrap().places.pop();
        }),
        ("an output is another", |inputs| {
            inputs.by_id.get_mut("done").unwrap().outputs = vec![output(1, "w")];
        }),
        ("what is dropped has an output", |inputs| {
            inputs.add_output("drop", output(2, "v"));
        }),
        ("a dead letter is missing", |inputs| {
            inputs.by_id.get_mut("bad").unwrap().deaths.clear();
        }),
        ("a dead letter is doubled", |inputs| {
            inputs.add_death(death(3, false));
        }),
        ("an input is missing", |inputs| {
            inputs.by_id.remove("drop");
        }),
        ("what is mended has no output", |inputs| {
            inputs.by_id.get_mut("ghost").unwrap().outputs.clear();
        }),
        ("what is mended has two", |inputs| {
            inputs.add_output("ghost", output(10, "g"));
        }),
        ("what is mended was not redriven", |inputs| {
            inputs.by_id.get_mut("ghost").unwrap().deaths[0].is_redriven = false;
        }),
        ("another was redriven", |inputs| {
            inputs.by_id.get_mut("dead").unwrap().deaths[0].is_redriven = true;
        }),
    ];
    for (what, change) in changes {
        let mut inputs = right();
        change(&mut inputs);
        assert!(account(inputs).faults().is_some(), "{what}");
    }
}

#[test]
fn what_follows_from_nothing_is_told() {
    let mut inputs = inputs();
    assert!(!inputs.add_output("other", output(1, "v")));
    assert!(!inputs.add_death(death(99, false)));
}

#[test]
fn what_was_redriven_has_its_first_outcome_in_order_and_its_last_in_an_order_of_its_own() {
    let timeline = |inputs: &Inputs| crate::verbs::demo::ledger::Timeline::of(inputs.settled());
    assert_eq!(timeline(&right()).inversions(), [""; 0]);
    let mut inputs = right();
    // The later of the two that died has its letter before the earlier one's.
    inputs.by_id.get_mut("ghost").unwrap().deaths[0].at = Timestamp(2);
    assert_eq!(timeline(&inputs).inversions().len(), 1);
}
