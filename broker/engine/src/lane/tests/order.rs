//! `order = key`: a failing record holds up its key and nothing else.

use super::*;
use crate::parts::CatalogChange;

const KEYS: u64 = 5;
const INPUTS: u64 = 120;

impl Bench {
    fn by_key(mut self) -> Self {
        self.order = Order::Key;
        self
    }

    /// As many records, with few keys; each seventh has none.
    async fn prepare_keys(&self, records: u64) {
        self.prepare(0).await;
        let record = |at: u64| Record {
            key: (!at.is_multiple_of(7)).then(|| key_of(at).into()),
            value: Some(at.to_string().into()),
            ..Record::default()
        };
        let inputs: Vec<_> = (0..records).map(record).collect();
        for chunk in inputs.chunks(11) {
            self.append(SOURCE, chunk).await;
        }
    }
}

fn key_of(offset: u64) -> String {
    format!("key {}", offset % KEYS)
}

/// Fails often, with waits of different lengths; some never succeed.
fn unsteady(offset: u64, attempt: u32) -> Result<Verdict, Failure> {
    let fails = if offset.is_multiple_of(13) { MAX_ATTEMPTS } else { (offset % 3) as u32 };
    if attempt <= fails {
        let after_ms = Some((offset * 7 + u64::from(attempt) * 3) % 4);
        return Ok(Verdict::Retry(RetryRequest { after_ms, reason: "not yet".into() }));
    }
    Ok(Verdict::Done(vec![output(offset, 0)]))
}

/// Each input has one outcome, and no record of a key came before an earlier one.
fn check(bench: &Bench, inputs: u64) {
    let outputs = bench.read(OUT).into_iter().map(|it| {
        let text = String::from_utf8(it.value.unwrap().to_vec()).unwrap();
        text.strip_suffix(".0").unwrap().parse::<u64>().unwrap()
    });
    let outputs: Vec<u64> = outputs.collect();
    let dead = bench.read(DEAD).into_iter().map(|it| DeadLetter::of(&it).unwrap().source.offset.0);
    let mut all: Vec<u64> = outputs.iter().copied().chain(dead).collect();
    all.sort_unstable();
    assert_eq!(all, (0..inputs).collect::<Vec<_>>(), "each has one outcome");
    for key in 0..KEYS {
        let of_key = outputs.iter().filter(|at| *at % KEYS == key && !at.is_multiple_of(7));
        assert!(of_key.is_sorted(), "records of key {key} were turned round");
    }
    let cursor = bench.parts.views.cursor(LANE).unwrap();
    assert_eq!((cursor.holes.len(), cursor.floor()), (0, Offset(inputs)));
}

#[tokio::test]
async fn each_input_has_one_outcome_and_no_key_is_turned_round_across_power_cuts() {
    for seed in 0..6 {
        let storage = FaultyStorage::new();
        let bench = Bench::open(&storage).by_key();
        bench.prepare_keys(INPUTS).await;
        bench.close().await;
        let module = module(unsteady);
        for round in 0..25 {
            let bench = Bench::open(&storage).by_key();
            storage.stop_at_sync(1 + (seed + round) % 9);
            bench.run(&module, INPUTS).await;
            bench.close().await;
            storage.power_cut(seed * 1000 + round);
        }
        let bench = Bench::open(&storage).by_key();
        bench.run(&module, INPUTS).await;
        check(&bench, INPUTS);
        bench.close().await;
    }
}

#[tokio::test]
async fn a_key_that_fails_for_long_holds_up_no_other() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage).by_key();
    bench.prepare_keys(INPUTS).await;
    let poisoned = |offset: u64, _| {
        if offset % KEYS == 1 && !offset.is_multiple_of(7) {
            let after_ms = Some(1_000_000);
            return Ok(Verdict::Retry(RetryRequest { after_ms, reason: "broken".into() }));
        }
        Ok(Verdict::Done(vec![output(offset, 0)]))
    };
    let healthy = (0..INPUTS).filter(|at: &u64| at % KEYS != 1 || at.is_multiple_of(7)).count();
    let lane = tokio::spawn(bench.lane(&module(poisoned)).run());
    let mut ends = bench.parts.views.watch(OUT);
    soon(ends.wait_for(|end| *end == Offset(healthy as u64))).await.unwrap();
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    let cursor = bench.parts.views.cursor(LANE).unwrap();
    assert_eq!(cursor.holes.len() + healthy, INPUTS as usize);
    assert_eq!((cursor.floor(), cursor.record.next), (Offset(1), Offset(INPUTS)));
    let tried: Vec<_> = cursor.holes.values().filter(|hole| hole.failed.is_some()).collect();
    assert_eq!(tried.len(), 1, "what waits behind it was not tried");
    bench.close().await;
}

#[tokio::test]
async fn a_lane_that_may_park_no_more_waits_says_so_and_goes_on() {
    let storage = FaultyStorage::new();
    let mut bench = Bench::open(&storage).by_key();
    bench.parked_max.records = 4;
    bench.prepare_keys(INPUTS).await;
    let fails = |offset, attempt| match attempt {
        1 if offset < 10 => {
            Ok(Verdict::Retry(RetryRequest { after_ms: Some(300), reason: "later".into() }))
        }
        _ => Ok(Verdict::Done(vec![output(offset, 0)])),
    };
    let module = module(fails);
    let lane = tokio::spawn(bench.lane(&module).run());
    soon(async {
        while bench.status.lock().unwrap().waiting.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let waiting = bench.status.lock().unwrap().waiting.clone().unwrap();
    assert!(waiting.contains("4 records") && waiting.contains("parked"), "{waiting}");
    assert_eq!(bench.parts.views.cursor(LANE).unwrap().record.next, Offset(4));
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    bench.stop.send_replace(false);
    bench.run(&module, INPUTS).await;
    check(&bench, INPUTS);
    bench.close().await;
}

#[tokio::test]
async fn what_was_parked_by_key_is_settled_first_when_the_order_is_the_partition_s() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage).by_key();
    bench.prepare_keys(20).await;
    let once = |offset, attempt| match (offset, attempt) {
        (1 | 2, 1) => {
            Ok(Verdict::Retry(RetryRequest { after_ms: Some(50), reason: "later".into() }))
        }
        _ => Ok(Verdict::Done(vec![output(offset, 0)])),
    };
    let mut cursors = bench.parts.views.watch(PartitionId::CURSORS);
    let lane = tokio::spawn(bench.lane(&module(once)).run());
    soon(cursors.wait_for(|end| *end > Offset(2))).await.unwrap();
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    bench.stop.send_replace(false);
    assert!(!bench.parts.views.cursor(LANE).unwrap().holes.is_empty());
    let mut bench = bench;
    bench.order = Order::Partition;
    bench.append(SOURCE, &[Record::default()]).await;
    bench.run(&module(once), 21).await;
    let outputs = bench.read(OUT).len();
    assert_eq!((outputs, bench.read(DEAD).len()), (21, 0));
    bench.close().await;
}

#[tokio::test]
async fn a_lane_that_comes_back_finds_nothing_of_the_one_that_ended() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage).by_key();
    bench.prepare_keys(20).await;
    let later = |_, _| {
        Ok(Verdict::Retry(RetryRequest { after_ms: Some(1_000_000), reason: "later".into() }))
    };
    let mut cursors = bench.parts.views.watch(PartitionId::CURSORS);
    let lane = tokio::spawn(bench.lane(&module(later)).run());
    soon(cursors.wait_for(|end| *end > Offset(20))).await.unwrap();
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    assert_eq!(bench.parts.views.cursor(LANE).unwrap().holes.len(), 20);
    let append = async |record: CursorsRecord| {
        bench.append(PartitionId::CURSORS, &[record.encode()]).await;
    };
    append(CursorsRecord::Cursor(LANE, None)).await;
    // Whoever makes a lane changes the catalog.
    bench.parts.change_catalog(|_| Ok((CatalogChange::default(), ()))).await.unwrap();
    append(CursorsRecord::Cursor(LANE, Some(LaneCursor::new(1, Offset(0)).record))).await;
    assert!(bench.parts.views.cursor(LANE).unwrap().holes.is_empty());
    bench.close().await;
    storage.restart();
    let bench = Bench::open(&storage).by_key();
    assert!(bench.parts.views.cursor(LANE).unwrap().holes.is_empty(), "nor after a start");
    bench.close().await;
}
