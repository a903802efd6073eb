//! Which files to drop and which to rewrite: a function of what is known of them.
//!
//! A file of which nothing is needed any more goes as it is. Files that follow one another and are
//! more than half dead become one segment. Small segments join it where that is cheap: a neighbour
//! on the way that is no larger than the rest doubles at most what is written, and so no byte is
//! written more often than the logarithm of the segment's size.

use std::ops::Range;

/// What is known of a sealed file. Files are in the order of their entries, the unsealed one is
/// not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileFacts {
    pub(crate) bytes: u64,
    /// How much of it nobody needs.
    pub(crate) dead_bytes: u64,
    /// How much of it a rewrite may keep after all, where the above is an estimate.
    pub(crate) most_bytes: u64,
    /// Whether nobody needs anything of it, for certain.
    pub(crate) is_dead: bool,
    pub(crate) is_segment: bool,
    /// Whether it may be touched now.
    pub(crate) cleanable: bool,
}

/// What a plan keeps to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The most that a segment should hold.
    pub(crate) segment_bytes: u64,
    /// Less than this is not worth a rewrite.
    pub(crate) gain_bytes_min: u64,
    /// The most files that one job takes.
    pub(crate) files_max: usize,
}

/// The most that a segment may come to hold where estimates were wrong: positions are 32 bits.
const MOST_BYTES: u64 = 3 << 30;

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Planned {
    /// Drop these files.
    Drop(Vec<usize>),
    /// Make these files one segment.
    Rewrite(Range<usize>),
}

impl Bounds {
    /// Whether one segment can take these files.
    fn hold(&self, files: &[FileFacts]) -> bool {
        let most: u64 = files.iter().map(|file| file.most_bytes).sum();
        live_bytes(files) <= self.segment_bytes
            && most <= MOST_BYTES
            && files.len() <= self.files_max
    }
}

impl FileFacts {
    fn live_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.dead_bytes)
    }

    fn is_half_dead(&self) -> bool {
        self.cleanable && self.dead_bytes > self.live_bytes()
    }
}

/// What to do next with these files, if anything is worth it.
pub(crate) fn plan(files: &[FileFacts], bounds: Bounds) -> Option<Planned> {
    let is_droppable = |at: &usize| files[*at].is_dead && files[*at].cleanable;
    let dead: Vec<usize> = (0..files.len()).filter(is_droppable).take(bounds.files_max).collect();
    if !dead.is_empty() {
        return Some(Planned::Drop(dead));
    }
    let runs = half_dead_runs(files, bounds).max_by_key(|run| gain(&files[run.clone()]));
    runs.or_else(|| mergeable(files, bounds)).map(Planned::Rewrite)
}

/// The bytes that cleaning these files would win back.
pub(crate) fn backlog_bytes(files: &[FileFacts]) -> u64 {
    let worth_it = |file: &&FileFacts| file.is_half_dead() || (file.is_dead && file.cleanable);
    files.iter().filter(worth_it).map(|file| file.dead_bytes).sum()
}

fn dead_bytes(files: &[FileFacts]) -> u64 {
    files.iter().map(|file| file.dead_bytes).sum()
}

fn live_bytes(files: &[FileFacts]) -> u64 {
    files.iter().map(FileFacts::live_bytes).sum()
}

/// Dead bytes for each KiB that must be written to win them.
fn gain(files: &[FileFacts]) -> u64 {
    dead_bytes(files) / (live_bytes(files) / 1024 + 1)
}

fn half_dead_runs(files: &[FileFacts], bounds: Bounds) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < files.len() {
            let begin = at;
            while at < files.len()
                && files[at].is_half_dead()
                && (at == begin || bounds.hold(&files[begin..=at]))
            {
                at += 1;
            }
            if at == begin {
                at += 1;
            } else if dead_bytes(&files[begin..at]) >= bounds.gain_bytes_min {
                let run = joined(files, begin..at, bounds);
                at = at.max(run.end);
                return Some(run);
            }
        }
        None
    })
}

/// The run with the small segments beside it.
fn joined(files: &[FileFacts], mut run: Range<usize>, bounds: Bounds) -> Range<usize> {
    let joins = |at: usize, run: &Range<usize>| {
        let file = &files[at];
        let live = live_bytes(&files[run.clone()]);
        file.cleanable
            && file.is_segment
            && file.live_bytes() <= live.max(bounds.gain_bytes_min)
            && bounds.hold(&files[run.start.min(at)..run.end.max(at + 1)])
    };
    loop {
        if run.start > 0 && joins(run.start - 1, &run) {
            run.start -= 1;
        } else if run.end < files.len() && joins(run.end, &run) {
            run.end += 1;
        } else {
            return run;
        }
    }
}

/// Two small segments beside one another, such as are left when what lay between them went.
fn mergeable(files: &[FileFacts], bounds: Bounds) -> Option<Range<usize>> {
    let is_small = |file: &FileFacts| {
        file.cleanable && file.is_segment && file.live_bytes() <= bounds.gain_bytes_min
    };
    let merges = |pair: &[FileFacts; 2]| pair.iter().all(is_small) && bounds.hold(pair);
    let at = files.array_windows().position(merges)?;
    Some(joined(files, at..at + 2, bounds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { segment_bytes: 1000, gain_bytes_min: 10, files_max: 100 };

    fn journal(bytes: u64, dead_bytes: u64) -> FileFacts {
        let most_bytes = bytes - dead_bytes;
        FileFacts {
            bytes,
            dead_bytes,
            most_bytes,
            is_dead: false,
            is_segment: false,
            cleanable: true,
        }
    }

    fn segment(bytes: u64, dead_bytes: u64) -> FileFacts {
        FileFacts { is_segment: true, ..journal(bytes, dead_bytes) }
    }

    fn dead() -> FileFacts {
        FileFacts { is_dead: true, ..journal(100, 100) }
    }

    fn kept(file: FileFacts) -> FileFacts {
        FileFacts { cleanable: false, ..file }
    }

    #[test]
    fn a_plan_is_the_one_in_the_table() {
        use Planned::{Drop, Rewrite};
        let table: [(&str, Vec<FileFacts>, Option<Planned>); 14] = [
            ("nothing", vec![], None),
            ("all live", vec![journal(100, 0), segment(100, 0)], None),
            ("half dead is not enough", vec![journal(100, 50)], None),
            ("more than half dead", vec![journal(100, 51)], Some(Rewrite(0..1))),
            ("too little to win", vec![journal(18, 9), journal(11, 9)], None),
            ("dead files first", vec![journal(100, 90), dead(), dead()], Some(Drop(vec![1, 2]))),
            ("dead, but kept", vec![kept(dead())], None),
            ("neighbours", vec![journal(100, 60), journal(100, 70)], Some(Rewrite(0..2))),
            (
                "a live one between",
                vec![journal(100, 60), journal(100, 0), journal(100, 70)],
                Some(Rewrite(2..3)),
            ),
            (
                "one kept between",
                vec![journal(100, 60), kept(journal(100, 99)), journal(100, 70)],
                Some(Rewrite(2..3)),
            ),
            (
                "as much as a segment holds",
                vec![journal(1500, 800), journal(1500, 900)],
                Some(Rewrite(1..2)),
            ),
            ("a small segment joins", vec![segment(40, 0), journal(100, 60)], Some(Rewrite(0..2))),
            ("a large one does not", vec![segment(41, 0), journal(100, 60)], Some(Rewrite(1..2))),
            (
                "small ones merge",
                vec![segment(900, 0), segment(9, 0), segment(10, 0)],
                Some(Rewrite(1..3)),
            ),
        ];
        for (case, files, expected) in table {
            assert_eq!(plan(&files, BOUNDS), expected, "{case}");
        }
    }

    #[test]
    fn the_backlog_is_what_a_rewrite_wins() {
        let files = [journal(100, 60), journal(100, 40), dead(), kept(journal(100, 90))];
        assert_eq!(backlog_bytes(&files), 160);
    }

    fn any_file() -> impl Strategy<Value = FileFacts> {
        (1..400_u64, 0..=100_u64, any::<bool>(), 0..5_u8, 0..8_u8).prop_map(
            |(bytes, percent, is_segment, dead, kept)| FileFacts {
                bytes,
                dead_bytes: if dead == 0 { bytes } else { bytes * percent / 100 },
                most_bytes: bytes,
                is_dead: dead == 0,
                is_segment,
                cleanable: kept != 0,
            },
        )
    }

    proptest! {
        /// Doing what the plan says, again and again, comes to an end, touches no file that is
        /// kept, and leaves little to win.
        #[test]
        fn plans_come_to_an_end(mut files in prop::collection::vec(any_file(), 0..40)) {
            let kept: Vec<FileFacts> = files.iter().copied().filter(|it| !it.cleanable).collect();
            let mut steps = 2 * files.len() + 2;
            while let Some(planned) = plan(&files, BOUNDS) {
                prop_assert!(steps > 0, "no end");
                steps -= 1;
                match planned {
                    Planned::Drop(at) => {
                        prop_assert!(at.iter().all(|at| files[*at].is_dead && files[*at].cleanable));
                        at.into_iter().rev().for_each(|at| _ = files.remove(at));
                    }
                    Planned::Rewrite(run) => {
                        let old = &files[run.clone()];
                        prop_assert!(old.iter().all(|it| it.cleanable));
                        let live = live_bytes(old);
                        prop_assert!(live <= BOUNDS.segment_bytes);
                        files.splice(run, [segment(live.max(1), 0)]);
                    }
                }
            }
            let still: Vec<FileFacts> = files.iter().copied().filter(|it| !it.cleanable).collect();
            prop_assert_eq!(still, kept);
            for file in files.iter().filter(|it| it.cleanable) {
                prop_assert!(!file.is_half_dead() || file.dead_bytes < BOUNDS.gain_bytes_min);
            }
        }
    }
}
