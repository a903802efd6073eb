//! Records that may have ended the process: who is handled alone, and who is given up for it.

use super::*;
use crate::board::Ranges;
use crate::lane::blamed::Blamed;
use crate::limits::{COMMITS_AHEAD_MAX, RUN_RECORDS_MAX};

/// A lane of two records, the first of which has ended the process as often as a record may.
async fn at_the_limit(bench: &Bench, module: &Arc<Scripted>) -> Lane {
    bench.prepare(2).await;
    let hole = HoleRecord { key: 1, bytes: 10, failed: None, crashes: MAX_ATTEMPTS, place: None };
    let hole = CursorsRecord::Hole(LANE, Offset(0), Some(hole));
    let mut cursor = bench.parts.views.cursor(LANE).unwrap().record;
    cursor.next = Offset(1);
    let cursor = CursorsRecord::Cursor(LANE, Some(cursor));
    bench.append(PartitionId::CURSORS, &[cursor.encode(), hole.encode()]).await;
    let mut lane = bench.lane(module);
    let (left, new) = (Offset(0)..Offset(1), Offset(1)..Offset(1));
    lane.blamed = Blamed::new(vec![Ranges { left, new }]);
    lane
}

fn seen(module: &Scripted) -> Vec<Offset> {
    module.seen.lock().unwrap().iter().map(|it| it.offset.unwrap()).collect()
}

async fn waits_as(bench: &Bench, why: &str) {
    until(|| bench.waits().as_deref() == Some(why)).await;
}

async fn is_given_up(bench: &Bench, lane: tokio::task::JoinHandle<()>, module: &Scripted) {
    until(|| bench.parts.views.cursor(LANE).unwrap().floor() == Offset(2)).await;
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    let letters: Vec<_> = bench.read(DEAD).iter().map(|it| DeadLetter::of(it).unwrap()).collect();
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((letter.source.offset, letter.reason.as_str()), (Offset(0), "crash"));
    assert_eq!(letter.attempts, MAX_ATTEMPTS + 1);
    assert_eq!(seen(module), [Offset(1)]);
}

fn done(_: u64, _: u32) -> Result<Verdict, Failure> {
    Ok(Verdict::Done(vec![]))
}

#[tokio::test]
async fn a_record_that_is_to_be_given_up_waits_for_room_and_commits_nothing_meanwhile() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    let module = module(done);
    let lane = at_the_limit(&bench, &module).await;
    bench.fill(&storage, CommitClass::Produce).await;
    let cursors = bench.parts.log.end_offset(PartitionId::CURSORS);
    let lane = tokio::spawn(lane.run());
    waits_as(&bench, "disk full").await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.parts.log.end_offset(PartitionId::CURSORS), cursors);
    storage.set_capacity(None);
    is_given_up(&bench, lane, &module).await;
    bench.close().await;
}

#[tokio::test]
async fn a_record_whose_burial_is_refused_is_not_handled_among_others_after_that() {
    let bench = Bench::open(&FaultyStorage::new());
    let module = module(done);
    let lane = at_the_limit(&bench, &module).await;
    let gone = CatalogRecord::Topic("dead".parse().unwrap(), None);
    bench.append(PartitionId::CATALOG, &[gone.encode()]).await;
    let lane = tokio::spawn(lane.run());
    waits_as(
        &bench,
        "dlq unavailable: topic dead does not exist; the lane goes on when it is created again",
    )
    .await;
    bench.create("dead", DEAD.topic).await;
    is_given_up(&bench, lane, &module).await;
    bench.close().await;
}

/// The board names the run that was handled; no commit that it was ahead of may be durable.
#[tokio::test]
async fn what_may_have_ended_the_process_is_looked_for_behind_the_runs_that_it_was_ahead_of() {
    let bench = Bench::open(&FaultyStorage::new());
    let records = (COMMITS_AHEAD_MAX + 1) * RUN_RECORDS_MAX;
    bench.prepare(records + 10).await;
    let mut lane = bench.lane(&module(done));
    let (left, end) = (Offset(0)..Offset(0), records as u64);
    let new = Offset(end - RUN_RECORDS_MAX as u64)..Offset(end);
    lane.blamed = Blamed::new(vec![Ranges { left, new }]);
    lane.leave_blamed().await;
    let cursor = bench.parts.views.cursor(LANE).unwrap();
    assert_eq!((cursor.record.next, cursor.parked()), (Offset(end), end));
    bench.close().await;
}
