//! What the cleaner sees and changes of a partition: its spans in sealed files.

use std::collections::HashSet;

use logmill_model::Offset;

use super::Partition;
use crate::span::Span;

/// What a set of files holds of a partition.
#[derive(Debug)]
pub(crate) struct SpansIn {
    /// In order.
    pub(crate) spans: Vec<Span>,
    pub(crate) start: Offset,
    /// Whether the partition has nothing before these spans.
    pub(crate) from_first: bool,
}

impl Partition {
    /// Shows each span, and the partition's start.
    pub(crate) fn visit_spans(&self, mut visit: impl FnMut(&Span, Offset)) {
        let state = self.read();
        let start = state.start;
        state.spans.iter().for_each(|span| visit(span, start));
    }

    pub(crate) fn spans_in(&self, files: &HashSet<u64>) -> SpansIn {
        let state = self.read();
        let is_in = |span: &&Span| files.contains(&span.file.id);
        SpansIn {
            from_first: state.spans.front().is_some_and(|first| is_in(&first)),
            spans: state.spans.iter().filter(is_in).cloned().collect(),
            start: state.start,
        }
    }

    /// Puts the span of a segment in the place of those in the files that it was made from. Whatever
    /// was trimmed or cleared meanwhile stays so.
    pub(crate) fn replace(&self, old: &HashSet<u64>, new: Option<Span>) {
        let mut state = self.write();
        let is_old = |span: &Span| old.contains(&span.file.id);
        let mut replaced = Vec::new();
        if let Some(begin) = state.spans.iter().position(is_old) {
            let count = state.spans.range(begin..).take_while(|span| is_old(span)).count();
            replaced.extend(state.spans.drain(begin..begin + count));
            if let Some(new) = new.filter(|new| new.end > state.start) {
                state.spans.insert(begin, new);
            }
        }
        drop(state);
        // Files that nobody needs any more go outside the lock.
        drop(replaced);
    }
}
