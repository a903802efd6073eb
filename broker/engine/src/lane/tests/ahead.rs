//! The next run is handled ahead of the commit before it.

use logmill_model::Outcome;

use super::*;

const INPUTS: u64 = 40;

fn one_output(offset: u64, _: u32) -> Result<Verdict, Failure> {
    Ok(Verdict::Done(vec![output(offset, 0)]))
}

/// Waits until the module was called for more than one run handles.
async fn handled_ahead(module: &Arc<Scripted>) {
    soon(async {
        while module.seen.lock().unwrap().len() <= RUN_RECORDS {
            tokio::task::yield_now().await;
        }
    })
    .await;
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
async fn what_was_handled_ahead_of_a_refused_commit_has_not_happened() {
    let (storage, bench, module) = held().await;
    let lane = bench.lane(&module);
    // Somebody moves the cursor, which is on its way when the lane begins.
    let moved = bench.parts.views.cursor(LANE).unwrap().moved(LANE, Offset(20));
    let moved: Vec<Record> = moved.iter().map(CursorsRecord::encode).collect();
    let append = Append::new(PartitionId::CURSORS, RecordBatch::of(&moved).unwrap());
    let commit = Commit { appends: vec![append], ..Commit::default() };
    let ticket = bench.parts.sequencer.propose(commit).await.unwrap();
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
