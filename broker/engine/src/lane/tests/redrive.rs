//! Dead letters that are handled again: in order, once, as they were.

use logmill_model::internal::RecordPlace;
use logmill_model::{Header, LetterStatus, Timestamp};

use super::*;
use crate::lane::redrive::{Candidate, Fate, Plan};
use crate::parts::CatalogChange;
use crate::seed::key_hash;

const KEYS: u64 = 4;
const INPUTS: u64 = 80;

impl Bench {
    fn ordered(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// As many records more, with few keys.
    async fn add_keyed(&self, records: u64) {
        let end = self.parts.log.end_offset(SOURCE).0;
        let inputs: Vec<_> = (end..end + records).map(input).collect();
        for chunk in inputs.chunks(7) {
            self.append(SOURCE, chunk).await;
        }
    }

    /// All dead letters, in the order of their records, as they are to be taken back.
    fn letters(&self) -> Vec<Candidate> {
        let mut letters: Vec<Candidate> = self.read(DEAD).iter().zip(0..).map(candidate).collect();
        letters.sort_by_key(|it| (it.source, it.place.offset));
        letters
    }

    fn open_letters(&self) -> Vec<Candidate> {
        let marks = self.parts.views.letters();
        let is_open = |it: &Candidate| marks.status(it.place) == LetterStatus::Open;
        self.letters().into_iter().filter(is_open).collect()
    }

    /// Takes letters back while no lane runs.
    async fn redrive(&self, candidates: &[Candidate]) -> Result<Vec<Fate>, Error> {
        let cursor = self.parts.views.cursor(LANE).unwrap();
        let (cursor, parked) = Parked::of(self.order, cursor);
        let at = (LANE, &cursor, &parked);
        let plan = Plan::of(at, self.parked_max, candidates, &self.parts.views.letters())?;
        if let Some(commit) = plan.commit {
            self.parts.commit(commit).await?;
        }
        Ok(plan.fates)
    }

    /// Asks the lane that runs to take letters back.
    async fn ask(&self, candidates: &[Candidate]) -> Result<Vec<Fate>, Error> {
        let (redrive, answered) = Redrive::new(candidates.to_vec());
        let mail = self.mail.lock().unwrap().clone().unwrap();
        mail.send(redrive).await.unwrap();
        answered.await.unwrap()
    }

    /// Runs a lane until nothing up to `until` is without an outcome, or the journal has failed.
    async fn drain(&self, module: &Arc<Scripted>, until: u64) {
        let mut cursors = self.parts.views.watch(PartitionId::CURSORS);
        let lane = tokio::spawn(self.lane(module).run());
        let at_end = async {
            let is_done =
                |cursor: LaneCursor| cursor.holes.is_empty() && cursor.record.next >= Offset(until);
            while !is_done(self.parts.views.cursor(LANE).unwrap()) {
                cursors.changed().await.unwrap();
            }
            self.stop.send_replace(true);
            std::future::pending::<()>().await
        };
        soon(async {
            tokio::select! {
                ended = lane => ended.unwrap(),
                () = at_end => {}
            }
        })
        .await;
        self.stop.send_replace(false);
    }

    fn counts(&self) -> Counts {
        self.parts.views.cursor(LANE).unwrap().record.counts
    }
}

fn input(offset: u64) -> Record {
    Record {
        key: Some(format!("key {}", offset % KEYS).into()),
        value: Some(offset.to_string().into()),
        headers: vec![Header::new("own", offset.to_string())],
        create_ts: Timestamp(1000 + offset),
    }
}

fn candidate((letter, at): (&Record, u64)) -> Candidate {
    let source = DeadLetter::of(letter).unwrap().source.offset;
    let place = RecordPlace { partition: DEAD, offset: Offset(at) };
    Candidate { source, place, key: key_hash(letter.key.as_deref(), source), bytes: 100 }
}

/// Gives up every third record.
fn poisoned(offset: u64, _: u32) -> Result<Verdict, Failure> {
    if offset.is_multiple_of(3) {
        return Ok(Verdict::DeadLetter("bad".into()));
    }
    Ok(Verdict::Done(vec![output(offset, 0)]))
}

fn healthy(offset: u64, _: u32) -> Result<Verdict, Failure> {
    Ok(Verdict::Done(vec![output(offset, 0)]))
}

/// Fails often, with short waits; in the end all is well.
fn unsteady(offset: u64, attempt: u32) -> Result<Verdict, Failure> {
    if u64::from(attempt) <= offset % 3 {
        let after_ms = Some((offset * 7 + u64::from(attempt) * 3) % 4);
        return Ok(Verdict::Retry(RetryRequest { after_ms, reason: "not yet".into() }));
    }
    healthy(offset, attempt)
}

/// The offsets of the outputs' inputs, as they came.
fn outputs(bench: &Bench) -> Vec<u64> {
    let input = |it: Record| {
        let text = String::from_utf8(it.value.unwrap().to_vec()).unwrap();
        text.strip_suffix(".0").unwrap().parse().unwrap()
    };
    bench.read(OUT).into_iter().map(input).collect()
}

fn all_taken(fates: &[Fate]) -> bool {
    fates.iter().all(|fate| *fate == Fate::Taken)
}

#[tokio::test]
async fn what_is_redriven_comes_before_later_records_of_its_key_in_the_source_s_order() {
    for order in [Order::Key, Order::Partition] {
        let storage = FaultyStorage::new();
        let bench = Bench::open(&storage).ordered(order);
        bench.prepare(0).await;
        bench.add_keyed(INPUTS).await;
        bench.run(&module(poisoned), INPUTS).await;
        let before = bench.read(OUT).len();
        let letters = bench.letters();
        assert_eq!(letters.len(), 27);
        // Live records are there already, and have to wait.
        bench.add_keyed(INPUTS).await;
        assert!(all_taken(&bench.redrive(&letters).await.unwrap()));
        let cursor = bench.parts.views.cursor(LANE).unwrap();
        assert_eq!(
            (cursor.floor(), cursor.parked()),
            (Offset(INPUTS), 27),
            "the source is not needed"
        );
        bench.drain(&module(unsteady), 2 * INPUTS).await;
        let after = outputs(&bench).split_off(before);
        let expected: Vec<u64> =
            letters.iter().map(|it| it.source.0).chain(INPUTS..2 * INPUTS).collect();
        match order {
            Order::Partition => assert_eq!(after, expected),
            Order::Key => {
                for key in 0..KEYS {
                    let of_key = |it: &&u64| **it % KEYS == key;
                    let after: Vec<_> = after.iter().filter(of_key).collect();
                    assert_eq!(after, expected.iter().filter(of_key).collect::<Vec<_>>());
                }
            }
        }
        assert_eq!(bench.open_letters(), []);
        bench.close().await;
    }
}

#[tokio::test]
async fn the_module_sees_the_record_as_it_was_at_its_first_attempt() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage).ordered(Order::Key);
    bench.prepare(0).await;
    bench.add_keyed(9).await;
    let first = module(poisoned);
    bench.run(&first, 9).await;
    let fates = bench.redrive(&bench.letters()).await.unwrap();
    assert!(all_taken(&fates), "{fates:?}");
    let again = module(healthy);
    bench.add_keyed(1).await;
    bench.drain(&again, 10).await;
    let seen = |module: &Scripted| module.seen.lock().unwrap().clone();
    let is_third =
        |it: &Message| it.offset.unwrap().0.is_multiple_of(3) && it.offset.unwrap().0 < 9;
    let before: Vec<Message> = seen(&first).into_iter().filter(is_third).collect();
    let mut after: Vec<Message> = seen(&again).into_iter().filter(is_third).collect();
    after.sort_by_key(|it| it.offset);
    assert_eq!(after, before, "topic, partition, offset, record, times, attempt");
    assert_eq!(after.len(), 3);
    bench.close().await;
}

#[tokio::test]
async fn a_second_death_is_history_of_the_first_and_its_attempts_begin_anew() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage).ordered(Order::Key);
    bench.prepare(0).await;
    bench.add_keyed(1).await;
    bench.run(&module(|_, _| Ok(Verdict::DeadLetter("bad".into()))), 1).await;
    let first = DeadLetter::of(&bench.read(DEAD)[0]).unwrap();
    bench.redrive(&bench.letters()).await.unwrap();
    bench.add_keyed(1).await;
    // It fails until its attempts run out, which are counted from 1.
    let module =
        module(|offset, _| if offset == 0 { Err(trap()) } else { Ok(Verdict::Done(vec![])) });
    bench.drain(&module, 2).await;
    let letter = bench.read(DEAD).pop().unwrap();
    let second = DeadLetter::of(&letter).unwrap();
    assert_eq!(second.history.len(), 1);
    let died = &second.history[0];
    assert!(died.contains(" trap of scripted v1 at in/0@0 after 3"), "{died}");
    assert_eq!(DeadLetter { history: Vec::new(), ..second }, first);
    assert_eq!(DeadLetter::original(&letter), input(0));
    let attempts =
        module.seen.lock().unwrap().iter().filter(|it| it.offset == Some(Offset(0))).count();
    assert_eq!(attempts, MAX_ATTEMPTS as usize);
    assert_eq!(bench.open_letters().len(), 1, "the new one");
    bench.close().await;
}

#[tokio::test]
async fn a_lane_that_has_the_record_itself_does_not_take_its_letter_back() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage).ordered(Order::Key);
    bench.prepare(0).await;
    bench.add_keyed(4).await;
    bench.run(&module(poisoned), 4).await;
    let letters = bench.letters();
    assert!(all_taken(&bench.redrive(&letters[..1]).await.unwrap()));
    let again = Candidate { place: letters[1].place, ..letters[0] };
    let ahead = Candidate { source: Offset(4), ..letters[1] };
    let fates = bench.redrive(&[letters[0], again, ahead]).await.unwrap();
    assert_eq!(
        fates,
        [
            Fate::NotOpen,
            Fate::Busy("its lane is handling its record"),
            Fate::Busy("its lane has not come to its record (again)"),
        ]
    );
    bench.close().await;
}

#[tokio::test]
async fn no_more_is_taken_back_than_a_lane_may_park() {
    let storage = FaultyStorage::new();
    let mut bench = Bench::open(&storage).ordered(Order::Key);
    bench.prepare(0).await;
    bench.add_keyed(30).await;
    bench.run(&module(poisoned), 30).await;
    let letters = bench.letters();
    for (records, bytes, taken) in [(4, 1 << 20, 4), (100, 700, 3)] {
        bench.parked_max = ParkedMax { records, bytes };
        let fates = bench.redrive(&letters).await.unwrap();
        let count = fates.iter().filter(|it| **it == Fate::Taken).count();
        assert_eq!(count, taken, "{records} records of {bytes} bytes");
        assert!(matches!(fates.last(), Some(Fate::NoRoom(why)) if why.contains("are parked")));
    }
    // A smaller one does not go before one that has no room.
    bench.parked_max = ParkedMax { records: 100, bytes: 850 };
    let [large, small] = [7, 8].map(|at| Candidate { bytes: 40, ..letters[at] });
    let fates = bench.redrive(&[Candidate { bytes: 200, ..large }, small]).await.unwrap();
    assert!(fates.iter().all(|fate| matches!(fate, Fate::NoRoom(_))), "{fates:?}");
    let holes: Vec<u64> =
        bench.parts.views.cursor(LANE).unwrap().holes.keys().map(|it| it.0).collect();
    assert_eq!(holes, [0, 3, 6, 9, 12, 15, 18], "the first ones are first");
    bench.close().await;
}

#[tokio::test]
async fn a_letter_that_is_removed_while_it_waits_is_lost_and_said_so() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage).ordered(Order::Key);
    bench.prepare(0).await;
    bench.add_keyed(30).await;
    bench.run(&module(poisoned), 30).await;
    bench.redrive(&bench.letters()).await.unwrap();
    let start = SegmentsRecord::Start(DEAD, Some(StartRecord { offset: Offset(4) }));
    bench.append(PartitionId::SEGMENTS, &[start.encode()]).await;
    bench.add_keyed(1).await;
    let module = module(healthy);
    bench.drain(&module, 31).await;
    let counts = bench.counts();
    assert_eq!((counts.lost, counts.done, counts.dead_lettered), (4, 20 + 6 + 1, 10));
    let said = bench.log.read(None, 100);
    let said = said.iter().filter(|line| line.text.contains("was redriven and is lost")).count();
    assert_eq!(said, 4);
    bench.close().await;
}

#[tokio::test]
async fn a_letter_whose_topic_is_gone_is_lost() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage).ordered(Order::Key);
    bench.prepare(0).await;
    bench.add_keyed(1).await;
    bench.run(&module(poisoned), 1).await;
    bench.redrive(&bench.letters()).await.unwrap();
    let gone = CatalogRecord::Topic("dead".parse().unwrap(), None);
    bench.append(PartitionId::CATALOG, &[gone.encode()]).await;
    bench.drain(&module(healthy), 1).await;
    assert_eq!(bench.counts().lost, 1);
    bench.close().await;
}

#[tokio::test]
async fn what_a_lane_had_taken_back_is_open_again_when_it_has_ended() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage).ordered(Order::Key);
    bench.prepare(0).await;
    bench.add_keyed(30).await;
    bench.run(&module(poisoned), 30).await;
    bench.redrive(&bench.letters()[..4]).await.unwrap();
    assert_eq!(bench.open_letters().len(), 6);
    bench.append(PartitionId::CURSORS, &[CursorsRecord::Cursor(LANE, None).encode()]).await;
    bench.parts.change_catalog(|_| Ok((CatalogChange::default(), ()))).await.unwrap();
    assert_eq!(bench.open_letters().len(), 10);
    bench.close().await;
}

#[tokio::test]
async fn an_idle_lane_wakes_up_for_what_it_is_asked_to_take_back() {
    for order in [Order::Key, Order::Partition] {
        let storage = FaultyStorage::new();
        let bench = Bench::open(&storage).ordered(order);
        bench.prepare(0).await;
        bench.add_keyed(30).await;
        bench.run(&module(poisoned), 30).await;
        let letters = bench.letters();
        let module = module(healthy);
        let mut ends = bench.parts.views.watch(OUT);
        let lane = tokio::spawn(bench.lane(&module).run());
        assert!(all_taken(&soon(bench.ask(&letters)).await.unwrap()));
        soon(ends.wait_for(|end| *end == Offset(30))).await.unwrap();
        let again = soon(bench.ask(&letters)).await.unwrap();
        assert!(again.iter().all(|fate| *fate == Fate::NotOpen), "{again:?}");
        bench.stop.send_replace(true);
        soon(lane).await.unwrap();
        assert_eq!(outputs(&bench).split_off(20), (0..10).map(|it| it * 3).collect::<Vec<_>>());
        bench.close().await;
    }
}

#[tokio::test]
async fn no_call_of_a_lane_at_work_is_thrown_away_for_a_redrive() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage).ordered(Order::Key);
    bench.prepare(0).await;
    bench.add_keyed(INPUTS).await;
    bench.run(&module(poisoned), INPUTS).await;
    let letters = bench.letters();
    let module = module(healthy);
    let mut ends = bench.parts.views.watch(OUT);
    let lane = tokio::spawn(bench.lane(&module).run());
    for letter in &letters {
        bench.add_keyed(9).await;
        assert!(all_taken(&soon(bench.ask(&[*letter])).await.unwrap()));
    }
    let live = 9 * letters.len() as u64;
    soon(ends.wait_for(|end| *end == Offset(INPUTS + live))).await.unwrap();
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    assert_eq!(module.seen.lock().unwrap().len() as u64, live + letters.len() as u64);
    bench.close().await;
}

#[tokio::test]
async fn a_lane_that_waits_for_the_disk_takes_nothing_back_and_says_why() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage).ordered(Order::Key);
    bench.prepare(0).await;
    bench.add_keyed(30).await;
    bench.run(&module(poisoned), 30).await;
    let letters = bench.letters();
    bench.add_keyed(1).await;
    bench.fill(&storage, CommitClass::Produce).await;
    let lane = tokio::spawn(bench.lane(&module(healthy)).run());
    let refused = soon(bench.ask(&letters)).await;
    assert!(matches!(refused, Err(Error::DiskFull)), "{refused:?}");
    storage.set_capacity(None);
    soon(async { while let Err(Error::DiskFull) = bench.ask(&letters).await {} }).await;
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    assert_eq!(bench.open_letters(), []);
    bench.close().await;
}

#[tokio::test]
async fn each_letter_has_one_more_outcome_across_power_cuts() {
    for seed in 0..6 {
        let storage = FaultyStorage::new();
        let bench = Bench::open(&storage).ordered(Order::Key);
        bench.prepare(0).await;
        bench.add_keyed(INPUTS).await;
        bench.run(&module(poisoned), INPUTS).await;
        bench.add_keyed(INPUTS).await;
        bench.close().await;
        let module = module(unsteady);
        for round in 0..25 {
            let bench = Bench::open(&storage).ordered(Order::Key);
            storage.stop_at_sync(1 + (seed + round) % 9);
            let open = bench.open_letters();
            let some = &open[..open.len().min(3)];
            // Half of the time it is the lane that does it.
            if round % 2 == 0 {
                // With the journal failed, a lane would try to read for ever.
                if bench.redrive(some).await.is_ok() {
                    bench.drain(&module, 2 * INPUTS).await;
                }
            } else {
                let lane = tokio::spawn(bench.lane(&module).run());
                let (redrive, answered) = Redrive::new(some.to_vec());
                let mail = bench.mail.lock().unwrap().clone().unwrap();
                let _ = mail.send(redrive).await;
                let _ = soon(answered).await;
                bench.stop.send_replace(true);
                soon(lane).await.unwrap();
            }
            bench.close().await;
            storage.power_cut(seed * 1000 + round);
        }
        let bench = Bench::open(&storage).ordered(Order::Key);
        bench.redrive(&bench.open_letters()).await.unwrap();
        bench.drain(&module, 2 * INPUTS).await;
        let mut outputs = outputs(&bench);
        outputs.sort_unstable();
        assert_eq!(outputs, (0..2 * INPUTS).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!((bench.read(DEAD).len(), bench.open_letters().len()), (27, 0), "seed {seed}");
        bench.close().await;
    }
}
