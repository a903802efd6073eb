//! What a partition has lost: ranges of offsets that answer `corrupt`, until the loss is accepted.

use std::ops::Range;
use std::sync::Arc;

use logmill_model::{Csn, Offset};

use super::{Partition, State};
use crate::{Hole, LostRange};

/// Offsets that are lost, and where the hole is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) from: Offset,
    pub(crate) to: Offset,
    pub(crate) path: Arc<str>,
    pub(crate) position: u64,
}

impl Lost {
    pub(crate) fn new(hole: &Hole, LostRange { from, to, .. }: LostRange) -> Self {
        Self { from, to, path: hole.path.as_str().into(), position: hole.position }
    }
}

/// The file that a partition's last batch lies in.
#[derive(Debug)]
pub(crate) struct LastFile {
    pub(crate) path: String,
    pub(crate) first: Csn,
}

/// The losses of a partition.
#[derive(Debug, Default)]
pub(super) struct LostOffsets {
    /// By offset.
    lost: Vec<Lost>,
    /// Ranges whose loss was accepted: they read as if compaction had taken them.
    accepted: Vec<(Offset, Offset)>,
}

impl LostOffsets {
    /// Where the first loss begins.
    pub(super) fn first(&self) -> Option<Offset> {
        self.lost.first().map(|lost| lost.from)
    }

    fn is_accepted(&self, from: Offset, to: Offset) -> bool {
        self.accepted.iter().any(|it| it.0 <= from && to <= it.1)
    }

    fn open(&self) -> impl Iterator<Item = &Lost> {
        self.lost.iter().filter(|lost| !self.is_accepted(lost.from, lost.to))
    }

    /// The loss that an offset lies in, if nobody accepted it; and where the next one behind it
    /// begins, accepted or not: nobody reads over one without noticing.
    pub(super) fn around(&self, offset: Offset) -> (Option<&Lost>, Option<Offset>) {
        let at = self.open().find(|lost| lost.from <= offset && offset < lost.to);
        let next = self.lost.iter().find(|lost| lost.from > offset).map(|lost| lost.from);
        (at, next)
    }

    /// What of a range lies in no loss, accepted or not, nor in one of `more`.
    fn outside(&self, range: Range<Offset>, more: &[LostRange]) -> Vec<Range<Offset>> {
        let lost = self.lost.iter().map(|it| (it.from, it.to)).chain(self.accepted.iter().copied());
        let mut lost: Vec<_> = lost.chain(more.iter().map(|it| (it.from, it.to))).collect();
        lost.sort_unstable();
        let (mut next, mut outside) = (range.start, Vec::new());
        for (from, to) in lost.into_iter().chain([(range.end, range.end)]) {
            let end = from.min(range.end);
            if next < end {
                outside.push(next..end);
            }
            next = next.max(to);
        }
        outside
    }

    pub(super) fn trim(&mut self, start: Offset) {
        self.lost.retain(|lost| lost.to > start);
    }
}

impl Partition {
    /// These offsets are lost; the end is no lower than theirs.
    pub(crate) fn lose(&self, lost: Lost) {
        let mut state = self.write();
        state.end = state.end.max(lost.to);
        let ranges = &mut state.losses.lost;
        if !ranges.contains(&lost) {
            let at = ranges.partition_point(|it| it.from <= lost.from);
            ranges.insert(at, lost);
        }
    }

    /// Whether a hole has cost it anything.
    pub(crate) fn has_lost_in(&self, hole: &Hole) -> bool {
        let is_in = |lost: &Lost| hole.is_at(&lost.path, lost.position);
        self.read().losses.lost.iter().any(is_in)
    }

    /// The loss of what lies between was accepted; the end is no lower than that.
    pub(crate) fn accept(&self, mut from: Offset, mut to: Offset) {
        let mut state = self.write();
        state.end = state.end.max(to);
        // Ranges that meet are one: a later start may find one loss where there were two.
        state.losses.accepted.retain(|it| {
            let meets = it.0 <= to && from <= it.1;
            if meets {
                (from, to) = (from.min(it.0), to.max(it.1));
            }
            !meets
        });
        state.losses.accepted.push((from, to));
    }

    pub(crate) fn is_accepted(&self, from: Offset, to: Offset) -> bool {
        self.read().losses.is_accepted(from, to)
    }

    /// The end of the accepted losses that `offset` lies in; `offset` when it lies in none.
    pub(crate) fn after_accepted(&self, mut offset: Offset) -> Offset {
        let state = self.read();
        let accepted = &state.losses.accepted;
        while let Some((_, to)) = accepted.iter().find(|it| it.0 <= offset && offset < it.1) {
            offset = *to;
        }
        offset
    }

    /// What of a range lies in no loss, accepted or not, nor in one of `more`.
    pub(crate) fn outside_losses(
        &self,
        range: Range<Offset>,
        more: &[LostRange],
    ) -> Vec<Range<Offset>> {
        self.read().losses.outside(range, more)
    }

    pub(crate) fn last_file(&self) -> Option<LastFile> {
        self.read().last_file()
    }
}

impl State {
    fn last_file(&self) -> Option<LastFile> {
        let growing = self.growing.as_ref().map(|growing| &growing.file);
        let file = growing.or_else(|| self.spans.back().map(|span| &span.file))?;
        Some(LastFile { path: file.path.clone(), first: file.header.first })
    }
}

#[cfg(test)]
mod tests {
    use logmill_model::{PartitionId, TopicId};

    use super::*;

    #[test]
    fn what_lies_in_no_loss_is_known_whether_it_was_accepted_or_not() {
        let partition = PartitionId::new(TopicId(16), 0);
        let range = |(from, to)| LostRange { partition, from: Offset(from), to: Offset(to) };
        let hole = Hole::at("journal/a.journal", 20, 0, "bad");
        let shown = Partition::default();
        shown.lose(Lost::new(&hole, range((3, 5))));
        shown.lose(Lost::new(&hole, range((9, 1 << 40))));
        shown.accept(Offset(4), Offset(6));
        for ((from, to), more, outside) in [
            ((0, 3), None, vec![(0, 3)]),
            ((0, 12), None, vec![(0, 3), (6, 9)]),
            ((4, 8), Some((7, 8)), vec![(6, 7)]),
            ((3, 6), None, vec![]),
            ((8, 1 << 40), Some((0, 2)), vec![(8, 9)]),
            ((1 << 40, (1 << 40) + 2), None, vec![(1 << 40, (1 << 40) + 2)]),
            ((5, 5), None, vec![]),
            ((6, 5), None, vec![]),
        ] {
            let more: Vec<LostRange> = more.into_iter().map(range).collect();
            let found = shown.outside_losses(Offset(from)..Offset(to), &more);
            let found: Vec<_> = found.into_iter().map(|it| (it.start.0, it.end.0)).collect();
            assert_eq!(found, outside, "{from} to {to}");
        }
    }
}
