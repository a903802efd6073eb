//! How fast the log takes batches while its cleaner rewrites all that survives of them.
//!
//! ```text
//! cargo bench -p logmill-tests --bench clean
//! ```
//!
//! Records of 51 of 100 partitions are needed for a moment only. So each file is just more than half
//! dead when it is sealed, and the cleaner, which no throttle holds back, rewrites what is left of it
//! once: the most work that an append can make for it. The time ends when all of it is rewritten, so
//! that what it lags behind counts as well. In turn with that the disk alone writes as many batches
//! as were appended, as in the bench `append`. `LOGMILL_BENCH_BYTES` says how much is appended in a
//! turn, 1 GiB unless told, `LOGMILL_BENCH_TURNS` how often, and `LOGMILL_BENCH_DIR` chooses the disk.
#![expect(clippy::unwrap_used, reason = "a bench fails as a test does")]

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use logmill_log::{Cleaner, Policies, Report, Throttle};
use logmill_model::internal::SegmentsRecord;
use logmill_model::{Csn, PartitionId, Record, RecordBatch, Timestamp};
use logmill_tests::measure::{self, OpenLog, RawDisk};

const PARTITIONS: u32 = 100;
/// Of these, nothing is needed soon.
const SHORT_LIVED: u32 = 51;
const IN_FLIGHT: u64 = 64;
/// How long the cleaner waits when there is nothing to do.
const PAUSE: Duration = Duration::from_millis(5);

/// What a turn has shown.
struct Turn {
    took: Duration,
    cleaned: Report,
    backlog_bytes_max: u64,
    sync_bytes: usize,
}

/// Records to be made durable, and who is to be told.
type Proposal = (Vec<Record>, SyncSender<()>);

fn main() {
    let bytes = measure::setting("LOGMILL_BENCH_BYTES", 1 << 30);
    let turns = measure::setting("LOGMILL_BENCH_TURNS", 5);
    let batch = measure::batch(64, 1024);
    let batches = bytes / batch.bytes().len() as u64;
    let mut out = std::io::stdout().lock();
    let (mut of_batches, mut of_syncs) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        let turn = turn(&batch, batches);
        let folder = measure::folder(env!("CARGO_TARGET_TMPDIR"));
        let mut disk = RawDisk::new(folder.path());
        let by_batches = disk.write(batch.bytes(), batches);
        let chunk: Vec<u8> = batch.bytes().iter().copied().cycle().take(turn.sync_bytes).collect();
        let by_syncs =
            disk.write(&chunk, (batches * batch.bytes().len() as u64).div_ceil(chunk.len() as u64));
        of_batches.push(by_batches.as_secs_f64() / turn.took.as_secs_f64());
        of_syncs.push(by_syncs.as_secs_f64() / turn.took.as_secs_f64());
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let Report { files, bytes: dropped, segment_bytes } = turn.cleaned;
        writeln!(
            out,
            "{:.0} MB in {:.2?}: {files} files of {:.0} MB became {:.0} MB, at most {:.0} MB waited",
            mb(bytes),
            turn.took,
            mb(dropped),
            mb(segment_bytes),
            mb(turn.backlog_bytes_max)
        )
        .unwrap();
    }
    for (what, values) in [
        ("of the disk, a batch and an fdatasync each", &of_batches),
        ("of the disk, as much to an fdatasync as the log", &of_syncs),
    ] {
        let [middle, low, high] = measure::middle(values);
        writeln!(out, "while all is rewritten: {middle:.2} ({low:.2} to {high:.2}) {what}")
            .unwrap();
    }
}

/// Appends batches while the cleaner works, and waits until it has nothing to do.
fn turn(batch: &RecordBatch, batches: u64) -> Turn {
    let folder = measure::folder(env!("CARGO_TARGET_TMPDIR"));
    let (mut log, cleaner) = OpenLog::new(folder.path(), PARTITIONS);
    let (propose, proposals) = sync_channel(1);
    let all_appended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let cleaning = scope.spawn(|| clean(cleaner, propose, &all_appended));
        let started = Instant::now();
        let mut appended = 0;
        log.append_and(batch, batches, IN_FLIGHT, &mut |log| {
            appended += 1;
            if appended % u64::from(PARTITIONS) == 0 {
                trim(log);
            }
            while let Ok(proposal) = proposals.try_recv() {
                commit(log, proposal);
            }
        });
        trim(&log);
        all_appended.store(true, Ordering::Release);
        answer_all(&mut log, &proposals);
        let (cleaned, backlog_bytes_max) = cleaning.join().unwrap();
        let (took, stats) = (started.elapsed(), log.log.stats());
        let sync_bytes = usize::try_from(stats.bytes / stats.syncs).unwrap();
        Turn { took, cleaned, backlog_bytes_max, sync_bytes }
    })
}

fn trim(log: &OpenLog) {
    for partition in (0..SHORT_LIVED).map(OpenLog::partition) {
        log.log.trim(partition, log.log.end_offset(partition));
    }
}

fn answer_all(log: &mut OpenLog, proposals: &Receiver<Proposal>) {
    while let Ok(proposal) = proposals.recv() {
        commit(log, proposal);
    }
}

fn commit(log: &mut OpenLog, (records, done): Proposal) {
    log.commit(PartitionId::SEGMENTS, RecordBatch::of(&records).unwrap(), done);
}

/// Cleans until all is appended and nothing is left to do.
fn clean(
    mut cleaner: Cleaner,
    propose: SyncSender<Proposal>,
    all_appended: &AtomicBool,
) -> (Report, u64) {
    let policies = Policies {
        now: Timestamp(1),
        views_csn: Csn(u64::MAX),
        is_compacted: &|partition| partition == PartitionId::SEGMENTS,
    };
    let (mut total, mut backlog_bytes_max) = (Report::default(), 0);
    let throttle = Throttle::new(u64::MAX);
    loop {
        let is_last = all_appended.load(Ordering::Acquire);
        let job = cleaner.plan(&policies);
        backlog_bytes_max = cleaner.backlog_bytes().max(backlog_bytes_max);
        let Some(job) = job else {
            if is_last {
                return (total, backlog_bytes_max);
            }
            std::thread::park_timeout(PAUSE);
            continue;
        };
        let cleaned = job.run(&throttle).unwrap();
        let records: Vec<Record> = cleaned.records().iter().map(SegmentsRecord::encode).collect();
        if !records.is_empty() {
            let (done, durable) = sync_channel(1);
            propose.send((records, done)).unwrap();
            durable.recv().unwrap();
        }
        let report = cleaned.report();
        total.files += report.files;
        total.bytes += report.bytes;
        total.segment_bytes += report.segment_bytes;
        cleaner.install(cleaned);
    }
}
