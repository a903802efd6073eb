//! What goes on while the disk is full, level by level, and that all of it goes on after it.

use logmill_model::SpaceLevel;

use super::*;

impl Bench {
    /// Proposes records for `out` as a commit of this class.
    async fn propose(&self, class: CommitClass) -> Result<(), Error> {
        let record = Record { value: Some(vec![1; 1000].into()), ..Record::default() };
        let appends = vec![Append::new(OUT, RecordBatch::of([&record]).unwrap())];
        self.parts.commit(Commit { appends, class, ..Commit::default() }).await.map(drop)
    }

    /// Takes the disk's room away, and fills what the journal has until commits of this class are
    /// refused.
    pub(super) async fn fill(&self, storage: &FaultyStorage, class: CommitClass) {
        let ahead = || storage.paths().iter().filter(|it| it.contains("ahead-")).count();
        let settled = || self.level() != SpaceLevel::Normal || ahead() == 2;
        until(settled).await;
        let bytes = |path: &String| storage.contents(path).unwrap().len() as u64;
        storage.set_capacity(Some(storage.paths().iter().map(bytes).sum()));
        while let Ok(()) = self.propose(class).await {
            until(settled).await;
        }
        assert!(matches!(self.propose(class).await, Err(Error::DiskFull)));
    }

    fn level(&self) -> SpaceLevel {
        self.parts.space_level()
    }

    pub(super) fn waits(&self) -> Option<String> {
        self.status.lock().unwrap().waiting.clone()
    }
}

const INPUTS: u64 = 30;

/// Drops all but two records.
fn rare_outputs(offset: u64, _: u32) -> Result<Verdict, Failure> {
    match offset {
        12 => Ok(Verdict::Done(vec![output(12, 0)])),
        20 => Ok(Verdict::DeadLetter("bad".into())),
        _ => Ok(Verdict::Drop("dull".into())),
    }
}

#[tokio::test]
async fn a_full_disk_takes_no_records_and_lanes_go_on_up_to_the_first_output() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    bench.prepare(INPUTS as usize).await;
    bench.fill(&storage, CommitClass::Produce).await;
    assert_eq!(bench.level(), SpaceLevel::Full);
    let outputs = bench.parts.log.end_offset(OUT);

    let lane = tokio::spawn(bench.lane(&module(rare_outputs)).run());
    until(|| bench.waits().is_some()).await;
    assert_eq!(bench.waits().as_deref(), Some("disk full"));
    let cursor = bench.parts.views.cursor(LANE).unwrap();
    assert_eq!(
        (cursor.floor(), cursor.record.counts.dropped, cursor.record.counts.done),
        (Offset(12), 12, 0)
    );
    assert_eq!(bench.level(), SpaceLevel::Full, "there is room for cursors");

    storage.set_capacity(None);
    until(|| bench.parts.views.cursor(LANE).unwrap().floor() == Offset(INPUTS)).await;
    assert_eq!(bench.parts.log.end_offset(OUT), outputs.next());
    assert_eq!(bench.read(DEAD).len(), 1);
    let counts = bench.parts.views.cursor(LANE).unwrap().record.counts;
    assert_eq!((counts.dropped, counts.done, counts.dead_lettered), (28, 1, 1));
    bench.propose(CommitClass::Produce).await.unwrap();
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    bench.close().await;
}

#[tokio::test]
async fn a_critical_disk_takes_what_frees_space_alone_and_no_module_is_called() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    bench.prepare(INPUTS as usize).await;
    bench.fill(&storage, CommitClass::Progress).await;
    assert_eq!(bench.level(), SpaceLevel::Critical);

    let module = module(rare_outputs);
    let lane = tokio::spawn(bench.lane(&module).run());
    until(|| bench.waits().is_some()).await;
    assert_eq!(bench.waits().as_deref(), Some("disk full"));
    assert_eq!(module.instances.load(Ordering::Relaxed), 0);
    for _ in 0..20 {
        bench.propose(CommitClass::Housekeeping).await.unwrap();
    }

    storage.set_capacity(None);
    until(|| bench.parts.views.cursor(LANE).unwrap().floor() == Offset(INPUTS)).await;
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    bench.close().await;
}

#[tokio::test]
async fn a_lane_that_waits_for_the_disk_stops_when_it_is_told() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    bench.prepare(1).await;
    bench.fill(&storage, CommitClass::Progress).await;
    let lane = tokio::spawn(bench.lane(&module(rare_outputs)).run());
    until(|| bench.waits().is_some()).await;
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    bench.close().await;
}

#[tokio::test]
async fn outputs_are_there_once_when_the_broker_is_killed_while_the_disk_is_full() {
    const INPUTS: u64 = 60;
    for seed in 0..4 {
        let storage = FaultyStorage::new();
        let bench = Bench::open(&storage);
        bench.prepare(INPUTS as usize).await;
        let prepared = bench.parts.log.end_offset(OUT);
        bench.fill(&storage, CommitClass::Produce).await;
        let filled = bench.parts.log.end_offset(OUT).0 - prepared.0;
        let module = module(every_outcome);
        let lane = tokio::spawn(bench.lane(&module).run());
        until(|| bench.waits().is_some()).await;
        storage.stop_at_sync(1);
        lane.abort();
        bench.close().await;
        storage.power_cut(seed);
        // The disk is as full as it was, and is freed while the broker is at work.
        let bench = Bench::open(&storage);
        let lane = tokio::spawn(bench.lane(&module).run());
        storage.set_capacity(None);
        until(|| bench.parts.views.cursor(LANE).unwrap().floor() == Offset(INPUTS)).await;
        bench.stop.send_replace(true);
        soon(lane).await.unwrap();
        assert_eq!(bench.parts.log.end_offset(OUT).0, filled + 30, "seed {seed}");
        assert_eq!(bench.read(DEAD).len(), 20, "seed {seed}");
        bench.close().await;
    }
}

/// Sets a key for each record but the first ten, and outputs nothing.
#[derive(Clone)]
struct Silent;

impl Handler for Silent {
    fn handle(&mut self, message: &Message, call: CallContext<'_>) -> Result<Called, Failure> {
        let (offset, memory) = (message.offset.unwrap().0, call.memory.unwrap());
        if offset >= 10 {
            memory.lock().unwrap().set(&offset.to_string(), "1".into()).unwrap();
        }
        Ok(Called::Verdict(Verdict::Done(vec![])))
    }
}

impl Handlers for Silent {
    fn instantiate(&self, _: CallContext<'_>) -> Result<Box<dyn Handler>, Failure> {
        Ok(Box::new(self.clone()))
    }
}

#[tokio::test]
async fn what_a_module_sets_waits_for_a_full_disk_as_its_outputs_do() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    bench.prepare(INPUTS as usize).await;
    bench.fill(&storage, CommitClass::Produce).await;
    let lane = tokio::spawn(bench.lane_of(Arc::new(Silent)).run());
    until(|| bench.waits().is_some()).await;
    assert_eq!(bench.waits().as_deref(), Some("disk full"));
    assert_eq!(bench.parts.views.cursor(LANE).unwrap().floor(), Offset(10));
    storage.set_capacity(None);
    until(|| bench.parts.views.cursor(LANE).unwrap().floor() == Offset(INPUTS)).await;
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    assert_eq!(bench.remembered.lane(SOURCE).read().after(None).count() as u64, INPUTS - 10);
    bench.close().await;
}
