//! Each kind of difference is planted into a history that is sound, and found.

use logmill_client::{FailureReason, ModuleDigest, Offset, Source};

use super::*;
use crate::record;

const MAX_ATTEMPTS: u32 = 3;

/// A record as it lies in a topic.
#[derive(Debug, Clone)]
struct Lies {
    partition: u32,
    offset: u64,
    csn: u64,
    record: Record,
}

/// All that there is to compare.
#[derive(Debug, Clone)]
struct History {
    order: Order,
    inputs: Vec<Lies>,
    told: Vec<ToldInput>,
    outputs: Vec<Lies>,
    letters: Vec<Lies>,
    counts: Counts,
    lag: u64,
}

const VERBS: [Verb; 8] = [
    Verb::Done(1),
    Verb::Done(2),
    Verb::Drop,
    Verb::Reject,
    Verb::Flaky(2),
    Verb::Fail,
    Verb::Retry,
    Verb::Done(1),
];

fn letter_of(input: &Lies, reason: FailureReason, attempts: u32) -> Record {
    let offset = Offset(input.offset);
    let source = Source { topic: "in".to_owned(), partition: input.partition, offset };
    let letter = DeadLetter::new(reason, "", source, "d", 1, ModuleDigest([7; 32]));
    DeadLetter { attempts, ..letter }.bury(&input.record)
}

impl History {
    /// Two keys in two partitions, with each verb, in the order of a key or a partition.
    fn sound(order: Order) -> Self {
        let counts = Counts {
            done: 8,
            outputs: 10,
            retried: 12,
            dead_lettered: 6,
            dropped: 2,
            errors: 10,
            ..Counts::default()
        };
        let (inputs, told, outputs, letters) = Default::default();
        let mut history = Self { order, inputs, told, outputs, letters, counts, lag: 0 };
        for (id, verb) in (0..16).zip(VERBS.into_iter().cycle()) {
            let (partition, offset) = (u32::try_from(id % 2).unwrap(), id / 2);
            let record = record(&format!("k{partition}"), value(id, verb));
            history.add(Lies { partition, offset, csn: 100 + id, record }, id, verb);
        }
        history
    }

    fn add(&mut self, input: Lies, id: u64, verb: Verb) {
        let (partition, offset) = (Some(input.partition), Some(input.offset));
        self.told.push(ToldInput { id, verb, topic: "in".to_owned(), partition, offset });
        let next = |all: &[Lies]| all.len() as u64;
        let wanted = verb.wanted(MAX_ATTEMPTS);
        for _ in 0..wanted.outputs {
            self.outputs.push(Lies { partition: 0, offset: next(&self.outputs), ..input.clone() });
        }
        if let Some((reason, attempts)) = wanted.letter {
            let record = letter_of(&input, reason, attempts);
            let offset = next(&self.letters);
            self.letters.push(Lies { partition: 0, offset, record, ..input });
        }
        self.inputs.push(input);
    }

    fn compare(&self) -> Compared {
        let found = |topic, it: &Lies, take: &mut dyn FnMut(&Found<'_>)| {
            let Lies { partition, offset, csn, .. } = *it;
            take(&Found { topic, partition, offset, csn, record: &it.record });
        };
        let mut inputs = Inputs::with_room_for(self.inputs.len());
        self.inputs.iter().for_each(|it| found("in", it, &mut |it| inputs.add(it)));
        let (deployment, source) = ("d".to_owned(), "in".to_owned());
        let (max_attempts, order) = (MAX_ATTEMPTS, self.order);
        let rules = Rules { deployment, source, max_attempts, order };
        let mut outcomes = Outcomes::of(inputs, rules);
        self.told.iter().for_each(|told| outcomes.told(told));
        self.outputs.iter().for_each(|it| found("out", it, &mut |it| outcomes.output(it)));
        self.letters.iter().for_each(|it| found("d.dlq", it, &mut |it| outcomes.letter(it)));
        outcomes.finish(&self.counts, self.lag)
    }

    fn output_of(&self, id: u64) -> usize {
        let is_of = |it: &Lies| verb::read(&it.record).is_some_and(|(of, _)| of == id);
        self.outputs.iter().position(is_of).unwrap()
    }

    fn letter_of(&self, id: u64) -> usize {
        let is_of = |it: &Lies| verb::read(&it.record).is_some_and(|(of, _)| of == id);
        self.letters.iter().position(is_of).unwrap()
    }
}

/// What a sound history is found to differ in, after this was done to it.
fn differences(order: Order, plant: impl FnOnce(&mut History)) -> Vec<Difference> {
    let mut history = History::sound(order);
    plant(&mut history);
    let compared = history.compare();
    assert_eq!(compared.summary.differences, compared.differences.len() as u64);
    compared.differences
}

fn differs(plant: impl FnOnce(&mut History)) -> Vec<Difference> {
    differences(Order::Key, plant)
}

fn at(topic: &str, partition: u32, offset: u64) -> String {
    format!("{topic}/{partition}@{offset}")
}

#[test]
fn a_sound_history_has_no_difference() {
    for order in [Order::Key, Order::Partition] {
        let Compared { summary, differences } = History::sound(order).compare();
        assert_eq!(differences, []);
        let expected = Summary {
            inputs: 16,
            keys: 2,
            acked: 16,
            outputs: 10,
            letters: 6,
            ..Summary::default()
        };
        assert_eq!(summary, expected);
    }
}

#[test]
fn a_verb_reads_as_it_prints_and_nothing_else_does() {
    for verb in VERBS.into_iter().chain([Verb::Done(0), Verb::Flaky(200)]) {
        assert_eq!(verb.to_string().parse(), Ok(verb));
        let written = record("k", value(7, verb));
        assert_eq!(verb::read(&written), Some((7, verb)));
    }
    for bad in ["7 done 1", "07 done", "7 done ", "7 dome", "7", "done", "7 flaky", "7 drop 1"] {
        assert_eq!(verb::read(&record("k", bad)), None, "{bad}");
    }
}

#[test]
fn one_that_fails_as_often_as_it_may_is_given_up() {
    assert_eq!(Verb::Flaky(3).wanted(4).outputs, 1);
    assert_eq!(Verb::Flaky(3).wanted(3), Verb::Fail.wanted(3));
}

#[test]
fn a_lost_input_is_found_and_one_that_was_cut_off_may_be_lost() {
    let lose = |history: &mut History| {
        let lost = history.inputs.remove(15);
        history.outputs.retain(|it| it.record.value != lost.record.value);
        history.counts = Counts { done: 7, outputs: 9, ..history.counts };
    };
    assert_eq!(differs(lose), [Difference::LostInput { id: 15, at: at("in", 1, 7) }]);
    let cut_off = |history: &mut History| {
        lose(history);
        (history.told[15].partition, history.told[15].offset) = (None, None);
    };
    assert_eq!(differs(cut_off), []);
    let there = |history: &mut History| history.told[15].offset = None;
    assert_eq!(differs(there), [], "and it may be there");
}

#[test]
fn an_input_at_another_place_is_found() {
    let found = differs(|history| history.told[4].offset = Some(3));
    let (told, is_at) = (at("in", 0, 3), at("in", 0, 2));
    assert_eq!(found, [Difference::MovedInput { id: 4, told, at: is_at }]);
}

#[test]
fn a_doubled_input_is_found() {
    let found = differs(|history| {
        let again = Lies { offset: 8, ..history.inputs[15].clone() };
        history.inputs.push(again);
    });
    let (first, again) = (at("in", 1, 7), at("in", 1, 8));
    assert_eq!(found, [Difference::DoubledInput { id: 15, at: first, again }]);
}

#[test]
fn an_input_that_nobody_sent_is_found() {
    let found = differs(|history| _ = history.told.remove(2));
    assert_eq!(found, [Difference::Foreign { at: at("in", 0, 1) }]);
    let foreign = |history: &mut History| {
        let record = record("k0", "17 dome");
        history.inputs.push(Lies { partition: 0, offset: 8, csn: 1, record });
    };
    assert_eq!(differs(foreign), [Difference::Foreign { at: at("in", 0, 8) }]);
}

#[test]
fn an_input_of_another_verb_is_found() {
    let found = differs(|history| history.told[0].verb = Verb::Drop);
    assert_eq!(found, [Difference::Altered { id: 0, at: at("in", 0, 0) }]);
}

#[test]
fn a_missing_output_is_found() {
    let found = differs(|history| {
        let at = history.output_of(1);
        history.outputs.remove(at);
    });
    assert_eq!(found, [Difference::MissingOutput { id: 1, wanted: 2, found: 1 }]);
}

#[test]
fn a_doubled_output_is_found_also_of_an_input_that_asks_for_none() {
    let found = differs(|history| {
        let again = history.outputs[history.output_of(15)].clone();
        history.outputs.push(again);
    });
    assert_eq!(found, [Difference::DoubledOutput { id: 15, wanted: 1, found: 2 }]);
    let found = differs(|history| {
        let dropped = history.inputs[10].clone();
        let after = history.output_of(12);
        history.outputs.insert(after, dropped);
    });
    assert_eq!(found, [Difference::DoubledOutput { id: 10, wanted: 0, found: 1 }]);
}

#[test]
fn a_missing_and_a_doubled_letter_are_found() {
    let found = differs(|history| _ = history.letters.remove(history.letter_of(3)));
    assert_eq!(found, [Difference::MissingLetter { id: 3 }]);
    let found = differs(|history| {
        let again = history.letters[history.letter_of(14)].clone();
        history.letters.push(again);
    });
    assert_eq!(found, [Difference::DoubledLetter { id: 14, wanted: 1, found: 2 }]);
}

#[test]
fn a_wrong_reason_is_found() {
    let found = differs(|history| {
        let at = history.letter_of(5);
        history.letters[at].record = letter_of(&history.inputs[5], FailureReason::Trap, 3);
    });
    let (wanted, reason) = ("error".to_owned(), "trap".to_owned());
    assert_eq!(found, [Difference::WrongReason { id: 5, wanted, found: reason }]);
}

#[test]
fn one_attempt_too_many_is_found() {
    let found = differs(|history| {
        let at = history.letter_of(6);
        history.letters[at].record = letter_of(&history.inputs[6], FailureReason::Retry, 4);
    });
    assert_eq!(found, [Difference::WrongAttempts { id: 6, wanted: 3, found: 4 }]);
}

#[test]
fn a_letter_from_elsewhere_is_found() {
    let found = differs(|history| {
        let at = history.letter_of(6);
        let elsewhere = Lies { offset: 9, ..history.inputs[6].clone() };
        history.letters[at].record = letter_of(&elsewhere, FailureReason::Retry, 3);
    });
    let (wanted, elsewhere) = (at("in", 0, 3), at("in", 0, 9));
    assert_eq!(found, [Difference::WrongSource { id: 6, wanted, found: elsewhere }]);
}

#[test]
fn an_inversion_within_a_key_is_found() {
    let swap = |history: &mut History| {
        // Both are of the first key, and of one commit.
        let (first, second) = (history.output_of(4), history.output_of(8));
        history.outputs.swap(first, second);
        history.outputs[second].offset = 99;
        (history.outputs[first].csn, history.outputs[second].csn) = (106, 106);
    };
    let inversion = |id, is_at: String, behind| {
        [Difference::Inversion { id, at: is_at, behind: at("in", 0, behind) }]
    };
    assert_eq!(differs(swap), inversion(4, at("out", 0, 99), 4));
    assert_eq!(differences(Order::Partition, swap), inversion(4, at("out", 0, 99), 4));
}

#[test]
fn an_output_before_the_letter_of_an_earlier_input_is_an_inversion() {
    let late = |history: &mut History| {
        let at = history.letter_of(3);
        history.letters[at].csn = 108;
    };
    let inversion = |id, offset| {
        let (is_at, behind) = (at("in", 1, offset), at("in", 1, 1));
        Difference::Inversion { id, at: is_at, behind }
    };
    assert_eq!(differs(late), [inversion(5, 2), inversion(7, 3)]);
}

#[test]
fn keys_overtake_each_other_where_order_is_by_key_alone() {
    let overtake = |history: &mut History| {
        // One key more in the first partition.
        let offset = 8;
        let record = record("other", value(16, Verb::Done(1)));
        history.add(Lies { partition: 0, offset, csn: 1, record }, 16, Verb::Done(1));
        history.counts = Counts { done: 9, outputs: 11, ..history.counts };
    };
    assert_eq!(differs(overtake), []);
    let found = differences(Order::Partition, overtake);
    assert!(matches!(found[..], [Difference::Inversion { id: 16, .. }]), "{found:?}");
}

#[test]
fn an_outcome_of_nothing_is_found() {
    let found = differs(|history| {
        let record = record("k0", "99 done");
        history.outputs.push(Lies { partition: 0, offset: 70, csn: 1, record });
    });
    assert_eq!(found, [Difference::Foreign { at: at("out", 0, 70) }]);
    let found = differs(|history| {
        let record = record("k0", value(99, Verb::Reject));
        history.letters.push(Lies { partition: 0, offset: 71, csn: 1, record });
    });
    assert_eq!(found, [Difference::Foreign { at: at("d.dlq", 0, 71) }], "without provenance");
}

#[test]
fn an_output_of_another_key_is_found() {
    let found = differs(|history| {
        let at = history.output_of(15);
        history.outputs[at].record.key = Some("k0".into());
    });
    assert_eq!(found, [Difference::Altered { id: 15, at: at("out", 0, 9) }]);
}

#[test]
fn each_count_that_is_off_by_one_is_found() {
    let found = differs(|history| {
        let counts = &mut history.counts;
        (counts.done, counts.errors, counts.lost) = (9, 9, 1);
    });
    let mut found: Vec<_> = found
        .into_iter()
        .map(|it| match it {
            Difference::Count { name, wanted, found } => (name, wanted, found),
            other => panic!("{other:?}"),
        })
        .collect();
    found.sort();
    let expected = [("done", 8, 9), ("errors", 10, 9), ("lost", 0, 1)];
    assert_eq!(found, expected.map(|(name, wanted, found)| (name.to_owned(), wanted, found)));
}

#[test]
fn records_without_an_outcome_are_told() {
    assert_eq!(differs(|history| history.lag = 3), [Difference::Unsettled { lag: 3 }]);
}

#[test]
fn what_is_told_is_bounded_and_what_is_counted_is_not() {
    let mut history = History::sound(Order::Key);
    for offset in 0..2000 {
        let record = record("k0", "nonsense");
        history.outputs.push(Lies { partition: 3, offset, csn: 1, record });
    }
    let compared = history.compare();
    assert_eq!((compared.differences.len(), compared.summary.differences), (1000, 2000));
}
