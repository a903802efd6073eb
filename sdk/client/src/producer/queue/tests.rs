//! Tests of the queue: what leaves when, and in which order.

use logmill_model::{Csn, Epoch, Offset, ShardId, Timestamp};
use logmill_wire::Ack;
use proptest::prelude::*;

use super::*;

mod idempotent;

/// Six records of these tests fill a batch.
fn options() -> ProducerOptions {
    ProducerOptions {
        batch_bytes: 200,
        in_flight: 3,
        buffer_bytes: 1 << 20,
        ..ProducerOptions::default()
    }
}

fn record(value: usize) -> Record {
    Record { value: Some(value.to_string().into()), ..Record::default() }
}

fn only(frame: &Outgoing) -> &flight::OutgoingPart {
    let [only] = &frame.parts[..] else { panic!("{frame:?} is not one batch") };
    only
}

fn values(frame: &Outgoing) -> Vec<usize> {
    let batch = only(frame).batch.plain().unwrap();
    let value = |record: Record| String::from_utf8(record.value.unwrap().to_vec()).unwrap();
    batch.to_records().map(|(_, record)| value(record).parse().unwrap()).collect()
}

fn ack(frame: &Outgoing, base: u64) -> Ack {
    Ack {
        request: frame.request,
        base_offset: Offset(base),
        append_ts: Timestamp(1),
        csn: Csn(1),
        epoch: Epoch(1),
        partition: only(frame).partition,
        shard: ShardId(0),
        was_there: false,
        duplicates: Vec::new(),
    }
}

fn push(queue: &mut Queue, target: Target, value: usize) -> (Ticket, Due) {
    queue.push(target, &record(value), 1).unwrap()
}

#[test]
fn a_batch_leaves_when_its_lane_is_idle_and_fills_while_it_is_not() {
    let mut queue = Queue::new(1, &options());
    assert_eq!(push(&mut queue, Target::InTurn, 0).1, Due::Now);
    let first = queue.next_batch().unwrap();
    assert_eq!(values(&first), [0]);
    for value in 1..=4 {
        assert_eq!(push(&mut queue, Target::InTurn, value).1, Due::Later);
    }
    assert_eq!(queue.next_batch(), None, "a batch that is not full waits for the one before");
    assert_eq!(queue.answer(first.request, Ok(ack(&first, 0))), Ok(1));
    let second = queue.next_batch().unwrap();
    assert_eq!(values(&second), [1, 2, 3, 4]);
    assert_eq!(queue.answer(second.request, Ok(ack(&second, 1))), Ok(4));
}

/// Its lane was idle when the first of seven records came; a full batch has left since.
#[test]
fn what_does_not_fill_a_batch_waits_for_the_full_one_before_it() {
    let mut queue = Queue::new(1, &options());
    for value in 0..7 {
        let _ticket = push(&mut queue, Target::InTurn, value);
    }
    let full = queue.next_batch().unwrap();
    assert_eq!(values(&full), [0, 1, 2, 3, 4, 5]);
    assert_eq!(queue.next_batch(), None);
    queue.answer(full.request, Ok(ack(&full, 0))).unwrap();
    assert_eq!(values(&queue.next_batch().unwrap()), [6]);
}

#[test]
fn full_batches_leave_without_waiting_up_to_the_limit() {
    let mut queue = Queue::new(1, &options());
    let dues: Vec<_> = (0..40).map(|value| push(&mut queue, Target::InTurn, value).1).collect();
    assert!(dues.iter().filter(|due| **due == Due::Now).count() > 3, "{dues:?}");
    let sent: Vec<_> = std::iter::from_fn(|| queue.next_batch()).collect();
    assert_eq!(sent.len(), 3, "no more than may be in flight");
    let first: Vec<_> = sent.iter().flat_map(values).collect();
    assert_eq!(first, (0..first.len()).collect::<Vec<_>>());
    queue.answer(sent[0].request, Ok(ack(&sent[0], 0))).unwrap();
    assert!(queue.next_batch().is_some());
    assert_eq!(queue.next_batch(), None);
}

#[test]
fn records_without_a_key_go_round_by_batch() {
    let mut queue = Queue::new(3, &options());
    let mut partitions = Vec::new();
    for value in 0..7 {
        let (ticket, _) = push(&mut queue, Target::InTurn, value);
        let frame = queue.next_batch().unwrap();
        partitions.push(only(&frame).partition);
        queue.answer(frame.request, Ok(ack(&frame, 0))).unwrap();
        assert!(ticket.answer.get().is_some());
    }
    assert_eq!(partitions, [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn a_whole_batch_lies_behind_the_records_before_it() {
    let mut queue = Queue::new(1, &options());
    let _ticket = push(&mut queue, Target::InTurn, 0);
    let first = queue.next_batch().unwrap();
    let _ticket = push(&mut queue, Target::Partition(0), 1);
    let batch = RecordBatch::of([&record(2), &record(3)]).unwrap();
    let _ticket = queue.push_batch(0, batch, None, 100).unwrap();
    let _ticket = push(&mut queue, Target::InTurn, 4);
    let second = [queue.next_batch().unwrap(), queue.next_batch().unwrap()];
    assert_eq!(second.each_ref().map(values), [vec![1], vec![2, 3]]);
    queue.answer(second[0].request, Ok(ack(&second[0], 1))).unwrap();
    queue.answer(first.request, Ok(ack(&first, 0))).unwrap();
    assert_eq!(queue.next_batch(), None, "a batch of its lane is still out");
    assert_eq!(queue.answer(second[1].request, Ok(ack(&second[1], 2))), Ok(100));
    assert_eq!(values(&queue.next_batch().unwrap()), [4]);
}

#[test]
fn an_answer_nobody_waits_for_is_a_fault_of_the_broker() {
    let mut queue = Queue::new(2, &options());
    let (ticket, _) = push(&mut queue, Target::Partition(1), 0);
    let frame = queue.next_batch().unwrap();
    assert!(matches!(
        queue.answer(7, Ok(ack(&frame, 0))),
        Err(Trouble::Stream(Error::Protocol(_)))
    ));
    let elsewhere = Ack { partition: 0, ..ack(&frame, 0) };
    assert!(matches!(
        queue.answer(frame.request, Ok(elsewhere)),
        Err(Trouble::Stream(Error::Protocol(_)))
    ));
    assert!(matches!(ticket.answer.get(), Some(Err(Error::Protocol(_)))));
    assert!(matches!(
        queue.answer(frame.request, Ok(ack(&frame, 0))),
        Err(Trouble::Stream(Error::Protocol(_)))
    ));
}

#[test]
fn failing_tells_what_was_sent_from_what_was_not() {
    let mut queue = Queue::new(1, &options());
    let (sent, _) = push(&mut queue, Target::InTurn, 0);
    let frame = queue.next_batch().unwrap();
    let unsent: Vec<_> = (1..10).map(|value| push(&mut queue, Target::InTurn, value).0).collect();
    assert_eq!(queue.outstanding().len(), 3, "one sent, one full, one open");
    let error = Error::Disconnected { code: None, reason: "gone".into() };
    queue.fail(&error);
    assert!(matches!(sent.answer.get(), Some(Err(Error::OutcomeUnknown { .. }))));
    for ticket in unsent {
        assert_eq!(ticket.answer.get(), Some(&Err(error.clone())));
    }
    assert_eq!(queue.push(Target::InTurn, &record(0), 1).unwrap_err(), error);
    assert_eq!(queue.next_batch(), None);
    assert!(queue.outstanding().is_empty());
    assert!(queue.answer(frame.request, Ok(ack(&frame, 0))).is_err());
}

#[test]
fn a_record_that_fits_no_batch_leaves_no_trace() {
    let mut queue = Queue::new(1, &options());
    let record = Record { value: Some(vec![0; 3 << 20].into()), ..Record::default() };
    assert!(matches!(queue.push(Target::InTurn, &record, 1), Err(Error::Invalid(_))));
    assert!(queue.outstanding().is_empty());
    queue.close();
    assert!(queue.is_exhausted());
}

#[derive(Debug, Clone)]
enum Step {
    Push(Target),
    PushBatch(u32),
    Send,
    Answer(prop::sample::Index, bool),
}

fn step(partitions: u32) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..partitions).prop_map(|partition| Step::Push(Target::Partition(partition))),
        2 => Just(Step::Push(Target::InTurn)),
        1 => (0..partitions).prop_map(Step::PushBatch),
        4 => Just(Step::Send),
        3 => any::<(prop::sample::Index, bool)>().prop_map(|(which, ok)| Step::Answer(which, ok)),
    ]
}

/// Pushes, sends and answers in any order; then all is sent and answered.
struct Run {
    queue: Queue,
    /// Where each value was sent to, and the ticket.
    pushed: Vec<(Target, Ticket)>,
    out: Vec<Outgoing>,
    /// What left for each partition, in order.
    left: Vec<Vec<usize>>,
    permits: u64,
}

impl Run {
    fn push(&mut self, target: Target) {
        let (ticket, _) = push(&mut self.queue, target, self.pushed.len());
        self.permits += 1;
        self.pushed.push((target, ticket));
    }

    fn push_batch(&mut self, partition: u32) {
        let batch = RecordBatch::of([&record(self.pushed.len())]).unwrap();
        let (ticket, _) = self.queue.push_batch(partition, batch, None, 5).unwrap();
        self.permits += 5;
        self.pushed.push((Target::Partition(partition), ticket));
    }

    fn send(&mut self) -> bool {
        let Some(frame) = self.queue.next_batch() else { return false };
        self.left[only(&frame).partition as usize].extend(values(&frame));
        self.out.push(frame);
        true
    }

    fn answer(&mut self, which: usize, ok: bool) {
        let frame = self.out.remove(which);
        let refused = || Error::Disconnected { code: None, reason: "refused".into() };
        let answer = if ok { Ok(ack(&frame, 0)) } else { Err(refused()) };
        self.permits -= u64::from(self.queue.answer(frame.request, answer).unwrap());
    }
}

proptest! {
    #[test]
    fn everything_leaves_once_in_the_order_of_its_lane(
        partitions in 1_u32..4,
        steps in prop::collection::vec(step(3), 0..120),
    ) {
        let queue = Queue::new(partitions, &options());
        let left = vec![Vec::new(); partitions as usize];
        let mut run = Run { queue, pushed: Vec::new(), out: Vec::new(), left, permits: 0 };
        for step in steps {
            match step {
                Step::Push(Target::InTurn) => run.push(Target::InTurn),
                Step::Push(Target::Partition(p)) => run.push(Target::Partition(p % partitions)),
                Step::PushBatch(partition) => run.push_batch(partition % partitions),
                Step::Send => { run.send(); }
                Step::Answer(which, ok) if !run.out.is_empty() => {
                    run.answer(which.index(run.out.len()), ok);
                }
                Step::Answer(..) => {}
            }
            prop_assert!(run.out.len() <= 3);
        }
        run.queue.close();
        while run.send() || !run.out.is_empty() {
            if !run.out.is_empty() {
                run.answer(0, true);
            }
        }
        prop_assert!(run.queue.is_exhausted());
        prop_assert_eq!(run.permits, 0);
        prop_assert!(run.pushed.iter().all(|(_, ticket)| ticket.answer.get().is_some()));
        let mut all: Vec<_> = run.left.concat();
        for left in &run.left {
            let keyless = |value: &&usize| run.pushed[**value].0 == Target::InTurn;
            let keyed: Vec<_> = left.iter().filter(|value| !keyless(value)).collect();
            prop_assert!(keyed.is_sorted());
            prop_assert!(left.iter().filter(keyless).is_sorted());
            prop_assert!(partitions > 1 || left.is_sorted());
        }
        all.sort_unstable();
        prop_assert_eq!(all, (0..run.pushed.len()).collect::<Vec<_>>());
    }
}
