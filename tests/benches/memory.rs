//! What the engine has in memory while 1000 partitions take writes as fast as the disk goes.
//!
//! ```text
//! cargo bench -p logmill-tests --bench memory
//! ```
//!
//! `LOGMILL_BENCH_BYTES` says how much is written, 2 GiB unless told, in batches of 16 KiB, of which
//! 4096 are on their way at once: as many bytes as the engine lets in. `LOGMILL_BENCH_DIR` chooses the disk.
#![expect(clippy::unwrap_used, reason = "a bench fails as a test does")]

use std::io::Write as _;

use logmill_log::Settings;
use logmill_tests::measure::{self, Producing};

const PARTITIONS: u32 = 1000;
const IN_FLIGHT: u64 = 4096;
const STEPS: u64 = 8;
const BAR_BYTES: u64 = 300_000_000;

/// The program, with nothing in it.
const PROGRAM_BYTES: u64 = 10_000_000;
/// A partition, in the file that is being written and in the 16 files before it, which 2 GiB fill.
const PARTITION_BYTES: u64 = 400 + 300 + 16 * 2 * 64;

/// What `broker/ARCHITECTURE.md` says that this takes.
fn planned(batch_bytes: u64) -> u64 {
    let settings = Settings::default();
    let caches = (settings.tail_bytes + settings.points_cache_bytes) as u64;
    PROGRAM_BYTES + caches + IN_FLIGHT * batch_bytes + u64::from(PARTITIONS) * PARTITION_BYTES
}

#[tokio::main]
async fn main() {
    let bytes = measure::setting("LOGMILL_BENCH_BYTES", 2 << 30);
    let batch = measure::batch(16, 1024);
    let planned = planned(batch.bytes().len() as u64);
    let batches = bytes / batch.bytes().len() as u64 / STEPS;
    let folder = measure::folder(env!("CARGO_TARGET_TMPDIR"));
    let mut out = std::io::stdout().lock();
    let engine = measure::engine(folder.path()).await;
    measure::create_topic(&engine, PARTITIONS).await;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    writeln!(out, "before the first write: {:.0} MB", mb(measure::memory().0)).unwrap();
    for step in 1..=STEPS {
        let how = Producing { partitions: PARTITIONS, batches, in_flight: IN_FLIGHT };
        let took = measure::produce(&engine, &batch, how).await;
        let written = batches * batch.bytes().len() as u64;
        let rate = mb(written) / took.as_secs_f64();
        let (now, most) = measure::memory();
        writeln!(
            out,
            "after {:.0} MB in {PARTITIONS} partitions, at {rate:.0} MB/s: {:.0} MB, at most {:.0} MB",
            mb(step * written),
            mb(now),
            mb(most)
        )
        .unwrap();
    }
    engine.shutdown().await.unwrap();
    let (_, most) = measure::memory();
    let holds = if most < BAR_BYTES { "under" } else { "OVER" };
    writeln!(out, "planned, without what the allocator holds: {:.0} MB", mb(planned)).unwrap();
    writeln!(out, "{holds} the bar: at most {:.0} MB of {:.0}", mb(most), mb(BAR_BYTES)).unwrap();
}
