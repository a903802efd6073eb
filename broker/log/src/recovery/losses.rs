//! What holes have cost: which offsets of which partitions.
//!
//! Journal files are dense. So where a partition goes on at a later offset behind a hole, what is
//! between is lost, exactly that. Where nothing tells where it goes on, its end jumps past every
//! offset that the lost entries can have used.

use std::collections::HashMap;
use std::sync::Arc;

use logmill_model::{Offset, PartitionId};

use crate::index::{IndexBuilder, Summary};
use crate::partition::{LastFile, Lost};
use crate::visible::Visible;
use crate::{Hole, LostRange};

/// The holes that were found, in the order of the log.
#[derive(Default)]
pub(super) struct Losses {
    found: Vec<Found>,
}

struct Found {
    hole: Hole,
    /// Where in the hole's file the batches of each partition begin and end.
    batches: Arc<HashMap<PartitionId, (u64, u64)>>,
}

impl Losses {
    /// Takes in the holes of a file, and where its batches lie.
    pub(super) fn add_file(&mut self, holes: &[Hole], index: &IndexBuilder, visible: &Visible) {
        if holes.is_empty() {
            return;
        }
        let batches = Arc::new(index.places());
        for hole in holes {
            let lost = hole.lost.iter().filter_map(|lost| visible.missed(*lost)).collect();
            visible.holes.add(Hole { lost, ..hole.clone() });
            self.found.push(Found { hole: hole.clone(), batches: Arc::clone(&batches) });
        }
    }

    /// What is missing between the batches of the files before and those of this one was in the
    /// last hole before them.
    pub(super) fn find_gaps(&self, path: &str, summary: &Summary, visible: &Visible) {
        if self.found.is_empty() {
            return;
        }
        for row in &summary.partitions {
            let partition = row.partition;
            let end = visible.partition(partition).map_or(Offset::ZERO, |it| it.end());
            let comes_before = |found: &&Found| found.comes_before(partition, path);
            if end < row.base
                && let Some(found) = self.found.iter().rfind(comes_before)
            {
                lose(visible, &found.hole, LostRange { partition, from: end, to: row.base });
            }
        }
    }

    /// What was found to be missing within files that are shown now.
    pub(super) fn show_lost(holes: &[Hole], visible: &Visible) {
        for hole in holes {
            hole.lost.iter().for_each(|lost| lose(visible, hole, *lost));
        }
    }

    /// What is missing before a batch that is copied behind all files was in the last hole.
    pub(super) fn find_gap(&self, partition: PartitionId, base: Offset, visible: &Visible) {
        let end = visible.partition(partition).map_or(Offset::ZERO, |it| it.end());
        if end < base
            && let Some(found) = self.found.last()
        {
            lose(visible, &found.hole, LostRange { partition, from: end, to: base });
        }
    }

    /// Moves the ends that nothing proves past what the holes can have used. Everything is shown.
    pub(super) fn move_ends(&self, visible: &Visible) {
        let with_entries = || self.found.iter().filter(|found| found.hole.csns.is_some());
        for (partition, from, _) in visible.partitions() {
            let Some(state) = visible.partition(partition) else { continue };
            let last = state.last_file();
            for found in with_entries().filter(|it| !it.is_followed(partition, last.as_ref())) {
                let from = state.end().max(from).max(visible.start_of(partition));
                let to = Offset(from.0.saturating_add(found.hole.offsets_max()));
                lose(visible, &found.hole, LostRange { partition, from, to });
            }
        }
        visible.set_hiding(with_entries().map(|found| found.hole.clone()).collect());
    }
}

fn lose(visible: &Visible, hole: &Hole, lost: LostRange) {
    let Some(lost) = visible.missed(lost) else { return };
    visible.partition_or_new(lost.partition).lose(Lost::new(hole, lost));
    visible.holes.add_lost(&hole.path, hole.position, lost);
}

impl Found {
    /// Whether the hole lies before the first batch that the file at `path` has of a partition. The
    /// holes of later files are not known yet.
    fn comes_before(&self, partition: PartitionId, path: &str) -> bool {
        let first = self.batches.get(&partition).map(|(first, _)| *first);
        self.hole.path != path || first.is_none_or(|first| self.hole.position < first)
    }

    /// Whether a batch of the partition, whose last one lies in `last`, lies behind the hole.
    fn is_followed(&self, partition: PartitionId, last: Option<&LastFile>) -> bool {
        let Some(last) = last else { return false };
        // What lies at the very begin comes before all batches of the file.
        if last.path == self.hole.path && self.hole.position > 0 {
            let end = self.batches.get(&partition).map(|(_, end)| *end);
            return end.is_some_and(|end| end > self.hole.position);
        }
        self.hole.csns.is_none_or(|lost| last.first > lost.first)
    }
}
