//! Runs are handled ahead of the commits before them.

use std::pin::pin;
use std::sync::mpsc::sync_channel;
use std::task::Poll;

use logmill_model::Outcome;

use super::super::broken::{Row, tests::buried};
use super::claims::claiming;
use super::*;
use crate::claims::{Answer, HeldKeys};
use crate::limits::{BROKEN_RECORDS_MAX, COMMITS_AHEAD_MAX};
use crate::sequencer::Ticket;

const INPUTS: u64 = 40;

fn one_output(offset: u64, _: u32) -> Result<Verdict, Failure> {
    Ok(Verdict::Done(vec![output(offset, 0)]))
}

/// Waits until the module was called for more than one run handles.
async fn handled_ahead(module: &Arc<Scripted>) {
    until(|| module.seen.lock().unwrap().len() > RUN_RECORDS).await;
}

fn values(bench: &Bench) -> Vec<String> {
    let value = |it: &Record| String::from_utf8(it.value.clone().unwrap().to_vec()).unwrap();
    bench.read(OUT).iter().map(value).collect()
}

fn expected(from: u64) -> Vec<String> {
    (from..INPUTS).map(|offset| format!("{offset}.0")).collect()
}

/// A lane's surroundings with inputs before it, where nothing becomes durable until the storage is told.
async fn held() -> (FaultyStorage, Bench, Arc<Scripted>) {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    bench.prepare(usize::try_from(INPUTS).unwrap()).await;
    storage.hold_syncs();
    (storage, bench, module(one_output))
}

/// Waits until there are so many outputs, and ends the lane.
async fn finish(bench: &Bench, lane: tokio::task::JoinHandle<()>, outputs: u64) {
    let mut ends = bench.parts.views.watch(OUT);
    soon(ends.wait_for(|end| *end == Offset(outputs))).await.unwrap();
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
}

/// Moves the cursor by hand: that is on its way, and whoever stands where it was is refused behind it.
async fn move_cursor(bench: &Bench, to: u64) -> Ticket {
    let moved = bench.parts.views.cursor(LANE).unwrap().moved(LANE, Offset(to));
    let moved: Vec<Record> = moved.iter().map(CursorsRecord::encode).collect();
    let append = Append::new(PartitionId::CURSORS, RecordBatch::of(&moved).unwrap());
    let commit = Commit { appends: vec![append], ..Commit::default() };
    bench.parts.sequencer.propose(commit).await.unwrap()
}

/// Lets others do what they can.
async fn yield_often() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

fn done(offset: u64) -> Result<Called, Failure> {
    one_output(offset, 1).map(Called::Verdict)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_run_is_handled_while_a_commit_waits_for_the_disk_and_shows_nothing() {
    let (storage, bench, module) = held().await;
    let lane = tokio::spawn(bench.lane(&module).run());
    handled_ahead(&module).await;
    assert_eq!(bench.parts.views.cursor(LANE).unwrap().floor(), Offset(0));
    assert_eq!(bench.parts.log.end_offset(OUT), Offset(0));
    storage.release_syncs();
    finish(&bench, lane, INPUTS).await;
    assert_eq!(values(&bench), expected(0));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_has_no_more_commits_on_their_way_than_it_may() {
    let (storage, bench, module) = held().await;
    let lane = tokio::spawn(bench.lane(&module).run());
    // One more run is handled than commits are on their way.
    let most = (COMMITS_AHEAD_MAX + 1) * RUN_RECORDS;
    until(|| module.seen.lock().unwrap().len() >= most).await;
    yield_often().await;
    assert_eq!(module.seen.lock().unwrap().len(), most);
    storage.release_syncs();
    finish(&bench, lane, INPUTS).await;
    assert_eq!(values(&bench), expected(0));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_handled_ahead_of_a_refused_commit_has_not_happened() {
    let (storage, bench, module) = held().await;
    let lane = bench.lane(&module);
    let ticket = move_cursor(&bench, 20).await;
    let lane = tokio::spawn(lane.run());
    handled_ahead(&module).await;
    storage.release_syncs();
    assert!(matches!(soon(ticket).await, Outcome::Committed(_)));
    finish(&bench, lane, INPUTS - 20).await;
    assert_eq!(values(&bench), expected(20));
    let counts = bench.parts.views.cursor(LANE).unwrap().record.counts;
    assert_eq!((counts.done, counts.outputs), (INPUTS - 20, INPUTS - 20));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_is_told_to_stop_settles_what_is_on_its_way_first() {
    let (storage, bench, module) = held().await;
    let lane = tokio::spawn(bench.lane(&module).run());
    handled_ahead(&module).await;
    bench.stop.send_replace(true);
    storage.release_syncs();
    soon(lane).await.unwrap();
    let seen = module.seen.lock().unwrap().len() as u64;
    assert_eq!(
        bench.parts.views.cursor(LANE).unwrap().floor(),
        Offset(seen),
        "all that was called"
    );
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_under_way_when_the_commit_before_it_is_refused_has_not_happened() {
    let (storage, bench, _) = held().await;
    let (entered, mut is_ahead) = mpsc::channel(1);
    let (go, gate) = sync_channel(1);
    let gate = Mutex::new(Some(gate));
    let lane = bench.lane_of(claiming(move |_, message| {
        let offset = message.offset.unwrap().0;
        if offset >= RUN_RECORDS as u64
            && let Some(gate) = gate.lock().unwrap().take()
        {
            entered.blocking_send(()).unwrap();
            gate.recv().unwrap();
        }
        done(offset)
    }));
    let ticket = move_cursor(&bench, 20).await;
    let lane = tokio::spawn(lane.run());
    soon(is_ahead.recv()).await.unwrap();
    storage.release_syncs();
    assert!(matches!(soon(ticket).await, Outcome::Committed(_)));
    // So that the lane finds it refused while the run goes on.
    yield_often().await;
    go.send(()).unwrap();
    finish(&bench, lane, INPUTS - 20).await;
    assert_eq!(values(&bench), expected(20));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_has_set_state_is_durable_before_the_next_one_is_handled() {
    let (storage, bench, _) = held().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let lane = bench.lane_of(claiming(move |memory, message| {
        counted.fetch_add(1, Ordering::Relaxed);
        memory.lock().unwrap().set("key", "value".into()).unwrap();
        done(message.offset.unwrap().0)
    }));
    let lane = tokio::spawn(lane.run());
    let waiting = storage.clone();
    tokio::task::spawn_blocking(move || waiting.wait_for_held_sync()).await.unwrap();
    yield_often().await;
    assert!(calls.load(Ordering::Relaxed) <= RUN_RECORDS);
    storage.release_syncs();
    finish(&bench, lane, INPUTS).await;
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_held_no_longer_than_its_commit_is_on_its_way_though_the_lane_waits_for_a_place() {
    let (storage, bench, _) = held().await;
    let (entered, mut is_handling) = mpsc::channel(1);
    let (go, gate) = sync_channel(1);
    let gate = Mutex::new(Some(gate));
    let lane = bench.lane_of(claiming(move |memory, message| {
        let offset = message.offset.unwrap().0;
        if let Some(gate) = gate.lock().unwrap().take() {
            memory.lock().unwrap().claim("key").unwrap();
            entered.blocking_send(()).unwrap();
            gate.recv().unwrap();
        }
        done(offset)
    }));
    let slots = Arc::clone(&lane.context.slots);
    let lane = tokio::spawn(lane.run());
    soon(is_handling.recv()).await.unwrap();
    // Whoever asks now has the only place when this run gives it back.
    let mut place = pin!(Arc::clone(&slots).acquire_owned());
    let is_queued = std::future::poll_fn(|cx| Poll::Ready(place.as_mut().poll(cx).is_pending()));
    assert!(is_queued.await);
    go.send(()).unwrap();
    let place = soon(place).await.unwrap();
    storage.release_syncs();
    let claims = bench.remembered.claims(bench.window_ms);
    let mut other = HeldKeys::none(claims, DEAD);
    soon(async {
        loop {
            match other.ask("key".into(), Offset(0), bench.parts.clock.now()).1 {
                Answer::Held => tokio::task::yield_now().await,
                Answer::Seen(_) => break,
                answer => panic!("{answer:?}"),
            }
        }
    })
    .await;
    drop(place);
    finish(&bench, lane, INPUTS).await;
    bench.close().await;
}

/// Another lane may fill the row of broken records at any time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_finds_its_module_broken_settles_what_is_on_its_way_first() {
    let storage = FaultyStorage::new();
    let mut bench = Bench::open(&storage);
    bench.order = Order::Key;
    bench.prepare(3 * RUN_RECORDS).await;
    storage.hold_syncs();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    // The first run does not end the row.
    let lane = bench.lane_of(claiming(move |memory, message| {
        let offset = message.offset.unwrap().0;
        counted.fetch_add(1, Ordering::Relaxed);
        if offset < RUN_RECORDS as u64 {
            let (after_ms, reason) = (Some(1_000_000), "later".into());
            return Ok(Called::Verdict(Verdict::Retry(RetryRequest { after_ms, reason })));
        }
        memory.lock().unwrap().claim(&offset.to_string()).unwrap();
        done(offset)
    }));
    let lane = tokio::spawn(lane.run());
    until(|| calls.load(Ordering::Relaxed) >= 3 * RUN_RECORDS).await;
    // So that the lane waits for the first commit, and not within a run.
    yield_often().await;
    for _ in 0..BROKEN_RECORDS_MAX {
        let mut row = Row::default();
        row.count(&buried(FailureReason::Trap));
        bench.rows.add(row);
    }
    storage.release_syncs();
    let mut ends = bench.parts.views.watch(OUT);
    soon(ends.wait_for(|end| *end == Offset(2 * RUN_RECORDS as u64))).await.unwrap();
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    let claims = bench.remembered.claims(bench.window_ms);
    let mut other = HeldKeys::none(claims, DEAD);
    for key in RUN_RECORDS..3 * RUN_RECORDS {
        let (_, answer) = other.ask(key.to_string().into(), Offset(0), bench.parts.clock.now());
        assert!(matches!(answer, Answer::Seen(_)), "{key}: {answer:?}");
    }
    bench.close().await;
}
