//! A module that breaks on everything is stopped before it has emptied its topic.

use super::*;

#[tokio::test]
async fn a_module_that_breaks_on_everything_gives_up_twenty_records_and_asks_to_be_paused() {
    let storage = FaultyStorage::new();
    let mut bench = Bench::open(&storage);
    bench.prepare(60).await;
    let lane = tokio::spawn(bench.lane(&module(|_, _| Err(trap()))).run());
    let alarm = soon(bench.alarms.recv()).await.unwrap();
    assert_eq!((alarm.deployment.as_str(), alarm.version), ("scripted", 1));
    assert!(alarm.reason.contains("20 records in a row"), "{}", alarm.reason);
    let cursor = bench.parts.views.cursor(LANE).unwrap();
    assert_eq!((cursor.floor(), cursor.record.counts.dead_lettered), (Offset(20), 20));
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    assert_eq!(bench.read(DEAD).len(), 20);
    bench.close().await;
}

#[tokio::test]
async fn a_record_that_is_handled_in_between_keeps_a_module_at_work() {
    let storage = FaultyStorage::new();
    let mut bench = Bench::open(&storage);
    bench.prepare(60).await;
    let mostly =
        |offset, _| if offset % 20 == 19 { Ok(Verdict::Done(vec![])) } else { Err(trap()) };
    bench.run(&module(mostly), 60).await;
    let counts = bench.parts.views.cursor(LANE).unwrap().record.counts;
    assert_eq!((counts.done, counts.dead_lettered), (3, 57));
    assert!(bench.alarms.try_recv().is_err(), "nobody is to pause it");
    bench.close().await;
}
