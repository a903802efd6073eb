//! Batches that are sent again: against a broker that judges sequences, refuses now and then, and
//! whose frames and answers are lost at any moment.

use std::collections::BTreeMap;

use logmill_wire::{ErrorCode, Fault};

use super::*;

/// What the broker has, and what is on its way in both directions.
#[derive(Default)]
struct Model {
    /// The sequence that is next in each partition, for the newest identity.
    next: BTreeMap<u32, u64>,
    /// Where batches of that identity lie, by partition and first sequence.
    known: BTreeMap<(u32, u64), u64>,
    logs: BTreeMap<u32, Vec<usize>>,
    frames: VecDeque<Outgoing>,
    answers: VecDeque<(u64, Result<Ack, Error>)>,
    on_the_way_max: BTreeMap<u32, usize>,
}

impl Model {
    /// Judges the oldest frame.
    fn judge(&mut self, refuses: bool) {
        let Some(frame) = self.frames.pop_front() else { return };
        let part = only(&frame);
        let (partition, first) = (part.partition, part.first_sequence.unwrap());
        let next = self.next.entry(partition).or_default();
        let count = u64::from(part.batch.record_count());
        let refused = |code| Err(Error::from(Fault::new(code, "so it is")));
        let answer = if let Some(base) = self.known.get(&(partition, first)) {
            Ok(Ack { was_there: true, ..ack(&frame, *base) })
        } else if first > *next {
            refused(ErrorCode::SequenceGap)
        } else if first < *next {
            panic!("sequence {first} was never sent as it is, {next} is next");
        } else if refuses {
            refused(ErrorCode::RouterRefused)
        } else {
            let log = self.logs.entry(partition).or_default();
            let base = log.len() as u64;
            log.extend(values(&frame));
            self.known.insert((partition, first), base);
            *next += count;
            Ok(ack(&frame, base))
        };
        self.answers.push_back((frame.request, answer));
    }

    fn lose(&mut self, queue: &mut Queue) {
        self.frames.clear();
        self.answers.clear();
        queue.suspend(true);
    }

    /// Hands the oldest answer over.
    fn deliver(&mut self, queue: &mut Queue) -> u64 {
        let Some((request, answer)) = self.answers.pop_front() else { return 0 };
        match queue.answer(request, answer) {
            Ok(permits) => permits.into(),
            Err(Trouble::Stream(error)) => panic!("{error}"),
            Err(Trouble::Identity(error)) => {
                self.lose(queue);
                (self.next, self.known) = Default::default();
                queue.renew(&error).into()
            }
        }
    }

    fn send(&mut self, queue: &mut Queue) -> bool {
        let Some(frame) = queue.next_batch() else { return false };
        self.frames.push_back(frame);
        let partition = |frame: &Outgoing| only(frame).partition;
        for at in self.frames.iter().map(partition) {
            let count = self.frames.iter().filter(|it| partition(it) == at).count();
            let max = self.on_the_way_max.entry(at).or_default();
            *max = count.max(*max);
        }
        true
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push(Target),
    Send,
    Judge(bool),
    Deliver,
    Lose,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0..2_u32).prop_map(|partition| Step::Push(Target::Partition(partition))),
        3 => Just(Step::Push(Target::InTurn)),
        10 => Just(Step::Send),
        8 => prop::bool::weighted(0.15).prop_map(Step::Judge),
        8 => Just(Step::Deliver),
        1 => Just(Step::Lose),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn everything_is_stored_at_most_once_in_order_and_what_is_acked_is_where_the_ack_says(
        steps in prop::collection::vec(step(), 0..250),
    ) {
        let options = ProducerOptions { batch_bytes: 70, in_flight: 40, ..options() };
        let (mut queue, mut broker) = (Queue::new(2, &options), Model::default());
        let (mut pushed, mut permits): (Vec<(Target, Ticket)>, u64) = (Vec::new(), 0);
        for step in steps {
            match step {
                Step::Push(target) => {
                    let value = pushed.len();
                    pushed.push((target, push(&mut queue, target, value).0));
                    permits += 1;
                }
                Step::Send => _ = broker.send(&mut queue),
                Step::Judge(refuses) => broker.judge(refuses),
                Step::Deliver => permits -= broker.deliver(&mut queue),
                Step::Lose => broker.lose(&mut queue),
            }
        }
        queue.close();
        while !queue.is_settled() {
            while broker.send(&mut queue) {}
            broker.judge(false);
            permits -= broker.deliver(&mut queue);
        }
        prop_assert_eq!(permits, 0);
        prop_assert!(broker.on_the_way_max.values().all(|max| *max <= limits::PRODUCER_BATCHES_MAX));
        let mut places = BTreeMap::new();
        for (partition, log) in &broker.logs {
            for (offset, value) in log.iter().enumerate() {
                let before = places.insert(*value, (*partition, offset as u64));
                prop_assert_eq!(before, None, "{} is there twice", value);
            }
            let pushed = &pushed;
            let lane = |target| log.iter().filter(move |value| pushed[**value].0 == target);
            prop_assert!(lane(Target::Partition(*partition)).is_sorted());
            prop_assert!(lane(Target::InTurn).is_sorted());
        }
        for (value, (_, ticket)) in pushed.iter().enumerate() {
            let place = places.get(&value).copied();
            match ticket.answer.get().expect("it is settled") {
                Ok(ack) => {
                    let offset = ack.base_offset.0 + u64::from(ticket.delta);
                    prop_assert_eq!(place, Some((ack.partition, offset)));
                }
                Err(Error::Refused { .. }) => prop_assert_eq!(place, None),
                Err(error) => {
                    let is_unknown = matches!(error, Error::OutcomeUnknown { .. });
                    prop_assert!(is_unknown, "{}", error);
                }
            }
        }
    }
}

#[test]
fn batches_that_go_together_go_alone_and_as_one() {
    let mut queue = Queue::new(3, &options());
    let (before, _) = push(&mut queue, Target::Partition(1), 0);
    let first = queue.next_batch().unwrap();
    let batch = |value| RecordBatch::of([&record(value)]).unwrap();
    let (tickets, _) = queue.push_together(vec![(2, batch(1)), (0, batch(2))], 9).unwrap();
    let (_after, _) = push(&mut queue, Target::Partition(2), 3);
    assert_eq!(queue.next_batch(), None, "one is on its way");
    assert_eq!(queue.answer(first.request, Ok(ack(&first, 0))), Ok(1));
    assert!(before.answer.get().is_some());
    let together = queue.next_batch().unwrap();
    assert_eq!(queue.next_batch(), None, "it goes alone");
    // Lost, and sent again with the same sequences.
    queue.suspend(true);
    let again = queue.next_batch().unwrap();
    assert_eq!(again.parts, together.parts);
    let partitions: Vec<u32> = again.parts.iter().map(|part| part.partition).collect();
    assert_eq!(partitions, [2, 0]);
    let ack = |partition, base| Ack { request: again.request, partition, ..ack(&first, base) };
    assert_eq!(queue.answer(again.request, Ok(ack(2, 5))), Ok(0));
    assert!(tickets.iter().all(|ticket| ticket.answer.get().is_none()));
    assert_eq!(queue.answer(again.request, Ok(ack(0, 7))), Ok(9));
    assert!(tickets.iter().all(|ticket| matches!(ticket.answer.get(), Some(Ok(_)))));
    assert_eq!(only(&queue.next_batch().unwrap()).first_sequence, Some(1));
}

#[test]
fn a_producer_that_was_fenced_or_gone_for_too_long_says_what_it_does_not_know() {
    let mut queue = Queue::new(1, &options());
    let batch = |value| RecordBatch::of([&record(value)]).unwrap();
    let (sent_twice, _) = queue.push_batch(0, batch(0), None, 1).unwrap();
    queue.next_batch().unwrap();
    queue.suspend(true);
    let (sent_once, _) = queue.push_batch(0, batch(1), None, 1).unwrap();
    let first = queue.next_batch().unwrap();
    queue.next_batch().unwrap();
    let unknown = Error::from(Fault::new(ErrorCode::UnknownProducer, "idle"));
    let trouble = queue.answer(first.request, Err(unknown.clone()));
    assert_eq!(trouble, Err(Trouble::Identity(unknown.clone())));
    queue.suspend(true);
    assert_eq!(queue.renew(&unknown), 1);
    assert!(matches!(sent_twice.answer.get(), Some(Err(Error::OutcomeUnknown { .. }))));
    let again = queue.next_batch().unwrap();
    assert_eq!((values(&again), only(&again).first_sequence), (vec![1], Some(0)));
    let fenced = Error::from(Fault::new(ErrorCode::Fenced, "another one"));
    let trouble = queue.answer(again.request, Err(fenced.clone()));
    assert_eq!(trouble, Err(Trouble::Stream(fenced.clone())));
    queue.fail(&fenced);
    let told = sent_once.answer.get().unwrap().as_ref().unwrap_err();
    assert_eq!((told.code(), told.has_no_side_effects()), (Some(ErrorCode::Fenced), true));
}
