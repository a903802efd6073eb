//! How long a broker that was killed takes to be ready again.
//!
//! ```text
//! LOGMILL_BENCH_BYTES=10737418240 cargo bench -p logmill-tests --bench recovery
//! ```
//!
//! Another process fills a data directory with so many bytes (256 MiB unless told), in 1000
//! partitions, and kills itself as `kill -9` does, with commits on their way. Then an engine is
//! opened: once with nothing of the files in the page cache, and once more, after a further kill
//! behind some more writes, with all of them in it. Twice so: with batches of 16 KiB, and with one
//! record of 1 KiB to a commit. `LOGMILL_BENCH_DIR` chooses the disk.
#![expect(clippy::unwrap_used, reason = "a bench fails as a test does")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use logmill_model::RecordBatch;
use logmill_tests::measure::{self, Producing};
use rustix::process::{Signal, getpid, kill_process};
use tokio::runtime::Runtime;

const PARTITIONS: u32 = 1000;
const IN_FLIGHT: u64 = 2048;
const MORE_BYTES: u64 = 64 << 20;
/// How the process that fills and dies is called.
const FILL: &str = "fill-and-die";

/// What a directory is filled with.
struct Kind {
    name: &'static str,
    /// Records of a batch.
    records: usize,
    bar: Duration,
}

const KINDS: [Kind; 2] = [
    Kind { name: "batches of 16 KiB", records: 16, bar: Duration::from_secs(2) },
    Kind { name: "single records", records: 1, bar: Duration::from_secs(10) },
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, command, folder, records, bytes] = &args[..]
        && command == FILL
    {
        let batch = measure::batch(records.parse().unwrap(), 1024);
        Runtime::new().unwrap().block_on(fill_and_die(
            folder.into(),
            batch,
            bytes.parse().unwrap(),
        ));
    }
    let bytes = measure::setting("LOGMILL_BENCH_BYTES", 256 << 20);
    for kind in &KINDS {
        measure_kind(kind, bytes);
    }
}

fn measure_kind(kind: &Kind, bytes: u64) {
    let folder = measure::folder(env!("CARGO_TARGET_TMPDIR"));
    let mut out = std::io::stdout().lock();
    let mut open = |what: &str| {
        let (took, last_csn) = Runtime::new().unwrap().block_on(open(folder.path()));
        let held: u64 = measure::files(folder.path()).iter().map(|it| length(it)).sum();
        let holds = if took < kind.bar { "under" } else { "OVER" };
        writeln!(
            out,
            "{}, {:.2} GiB, {last_csn} commits, {what}: ready in {took:.2?}, {holds} {:.0?}",
            kind.name,
            held as f64 / (1 << 30) as f64,
            kind.bar
        )
        .unwrap();
    };
    fill(folder.path(), kind, bytes);
    measure::forget_cached(folder.path());
    open("page cache cold");
    fill(folder.path(), kind, MORE_BYTES);
    for path in measure::files(folder.path()) {
        std::io::copy(&mut std::fs::File::open(path).unwrap(), &mut std::io::sink()).unwrap();
    }
    open("page cache warm");
}

fn length(path: &Path) -> u64 {
    path.metadata().unwrap().len()
}

/// Has another process fill the directory and be killed.
fn fill(folder: &Path, kind: &Kind, bytes: u64) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.arg(FILL).arg(folder).arg(kind.records.to_string()).arg(bytes.to_string());
    let ended = child.status().unwrap();
    assert!(!ended.success(), "it was to be killed, and ended with {ended}");
}

async fn fill_and_die(folder: PathBuf, batch: RecordBatch, bytes: u64) {
    let engine = measure::engine(&folder).await;
    measure::create_topic(&engine, PARTITIONS).await;
    let batches = bytes / batch.bytes().len() as u64;
    let how = Producing { partitions: PARTITIONS, batches, in_flight: IN_FLIGHT };
    measure::produce(&engine, &batch, how).await;
    // Dies amid writes.
    let endless = Producing { batches: u64::MAX / 2, ..how };
    let dying = async {
        let written = engine.durable_csn().0 + IN_FLIGHT;
        while engine.durable_csn().0 < written {
            tokio::task::yield_now().await;
        }
        kill_process(getpid(), Signal::KILL).unwrap();
    };
    tokio::join!(measure::produce(&engine, &batch, endless), dying);
}

async fn open(folder: &Path) -> (Duration, u64) {
    let started = Instant::now();
    let engine = measure::engine(folder).await;
    let took = started.elapsed();
    let last_csn = engine.recovered().last_csn.0;
    assert!(engine.recovered().unclean, "it was killed");
    engine.shutdown().await.unwrap();
    (took, last_csn)
}
