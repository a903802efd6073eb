//! The machine that a figure is of: without it, a figure says nothing.

use std::num::NonZero;
use std::path::Path;

use serde::Serialize;

/// What figures depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) cpu: Option<String>,
    /// The file system of the broker's data, where that is on this machine.
    pub(super) fs: Option<String>,
}

impl Machine {
    /// This one.
    pub(super) fn here(data: Option<&Path>) -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(1, NonZero::get),
            cpu: std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| model_of(&text)),
            fs: data.and_then(file_system_of),
        }
    }
}

/// The kind of file system that a folder is on.
pub(super) fn file_system_of(folder: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    kind_in(&mounts, &folder.canonicalize().ok()?)
}

/// Whether what is written there stays in memory, so that a sync costs nothing and saves nothing.
pub(super) fn is_memory(file_system: &str) -> bool {
    matches!(file_system, "tmpfs" | "ramfs")
}

fn model_of(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The kind of the mount that a path lies in. A line of the table: id, parent, device, root, mount
/// point, options, further fields, `-`, kind, source.
fn kind_in(mounts: &str, path: &Path) -> Option<String> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let point = unescaped(before.split(' ').nth(4)?);
        let kind = after.split(' ').next()?.to_owned();
        path.starts_with(&point).then_some((point.len(), kind))
    };
    // Of mounts on one point the last covers the others.
    mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

/// Blanks and the like stand as three octal digits.
fn unescaped(text: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

/// What the machine's processors have done since it started, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CpuTicks {
    busy: u64,
    all: u64,
}

impl CpuTicks {
    /// By now.
    pub(super) fn now() -> Option<Self> {
        Self::of(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// The first line: cpu, then user, nice, system, idle, waiting for a disk, and others that are busy.
    fn of(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        // Guests' time, behind the eighth, is part of the user's.
        let ticks: Vec<u64> =
            line.split_whitespace().take(8).map(|it| it.parse().ok()).collect::<Option<_>>()?;
        let idle = ticks.get(3)? + ticks.get(4)?;
        let all = ticks.iter().sum::<u64>();
        Some(Self { busy: all - idle, all })
    }

    /// How busy they were, all together, from 0 to 1.
    pub(super) fn busy_since(self, earlier: Self) -> Option<f64> {
        let all = self.all.checked_sub(earlier.all).filter(|all| *all > 0)?;
        Some(self.busy.saturating_sub(earlier.busy) as f64 / all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_file_system_of_the_nearest_mount_and_of_the_last_one_there() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/vda rw\n\
            30 22 0:5 / /tmp rw shared:1 - tmpfs tmpfs rw\n\
            31 22 8:2 / /data\\040disk rw - ext4 /dev/vdb rw\n\
            32 31 8:3 / /data\\040disk rw master:1 shared:2 - xfs /dev/vdc rw\n";
        for (path, kind) in [
            ("/srv/x", "ext4"),
            ("/tmp/x", "tmpfs"),
            ("/tmpx", "ext4"),
            ("/data disk/broker", "xfs"),
        ] {
            assert_eq!(kind_in(mounts, Path::new(path)).as_deref(), Some(kind), "{path}");
        }
        assert_eq!(kind_in("nonsense", Path::new("/")), None);
        assert!(is_memory("tmpfs") && !is_memory("ext4"));
    }

    #[test]
    fn processors_that_idle_or_wait_for_the_disk_are_not_busy() {
        let at = |text| CpuTicks::of(text).unwrap();
        let before = at("cpu  10 0 10 100 0 0 0 0 5 0\ncpu0 1 1 1 1");
        let after = at("cpu  40 10 20 150 20 0 0 0 35 0");
        assert_eq!(before, CpuTicks { busy: 20, all: 120 });
        assert_eq!(after.busy_since(before), Some(50.0 / 120.0));
        assert_eq!(before.busy_since(before), None);
        assert_eq!(CpuTicks::of("intr 5"), None);
    }

    #[test]
    fn the_processor_has_a_name() {
        let text = "processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nflags\t: x\n";
        assert_eq!(model_of(text).as_deref(), Some("A CPU @ 2 GHz"));
        assert_eq!(model_of("processor: 0"), None);
    }
}
