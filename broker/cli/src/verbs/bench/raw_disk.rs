//! What the disk alone does: chunks of the same size as the broker's, each written behind the one
//! before and made durable with `fdatasync`, in a file that is preallocated as the journal is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::FallocateFlags;

use super::latency::Latencies;

/// How long one measurement takes, about.
const TIME: Duration = Duration::from_millis(700);
/// How much it writes at most.
const BYTES_MAX: u64 = 1 << 30;
const CHUNKS_MIN: u64 = 8;
/// As the journal preallocates.
const STEP_BYTES: u64 = 16 << 20;

/// Chunks that were written, and how long it took.
#[derive(Debug, Clone)]
pub(super) struct RawDisk {
    bytes: u64,
    elapsed: Duration,
    /// Of `fdatasync` alone.
    pub(super) syncs: Latencies,
}

impl RawDisk {
    /// Measures the file system of this folder. Leaves nothing there. Blocks.
    pub(super) fn measure(folder: &Path, chunk: &[u8]) -> io::Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        let mut measured = Self { bytes: 0, elapsed: Duration::ZERO, syncs: Latencies::new() };
        let mut allocated = 0;
        let (started, mut chunks) = (Instant::now(), 0);
        while chunks < CHUNKS_MIN || (started.elapsed() < TIME && measured.bytes < BYTES_MAX) {
            let end = measured.bytes + chunk.len() as u64;
            if end > allocated {
                allocated = end.max(allocated + STEP_BYTES);
                preallocate(&file, allocated)?;
            }
            file.write_all_at(chunk, measured.bytes)?;
            let written = Instant::now();
            file.sync_data()?;
            measured.syncs.record(written.elapsed(), 1);
            measured.bytes = end;
            chunks += 1;
        }
        measured.elapsed = started.elapsed();
        Ok(measured)
    }

    /// Takes in a second measurement.
    pub(super) fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.elapsed += other.elapsed;
        self.syncs.add(&other.syncs);
    }

    /// Millions of bytes a second.
    pub(super) fn mb_per_s(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.elapsed.as_secs_f64()
    }
}

fn preallocate(file: &File, end: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, end) {
        Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_leaves_nothing_behind_and_two_measurements_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = RawDisk::measure(folder.path(), &[7; 4096]).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(disk.bytes >= 4096 * CHUNKS_MIN && disk.mb_per_s() > 0.0);
        assert!(disk.syncs.middle_and_tail().is_some());
        let (bytes, elapsed) = (disk.bytes, disk.elapsed);
        disk.add(&disk.clone());
        assert_eq!((disk.bytes, disk.elapsed), (2 * bytes, 2 * elapsed));
    }
}
