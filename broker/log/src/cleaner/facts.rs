//! What is known of the sealed files and of what is in them, as of one moment.

use std::collections::{HashMap, HashSet};

use logmill_model::{Offset, PartitionId};

use super::part::Part;
use super::plan::FileFacts;
use super::{Cleaner, Policies};
use crate::file_header::FileKind;
use crate::log_file::LogFile;
use crate::partition::SpansIn;
use crate::sealed::SealedFile;
use crate::span::Span;

/// The files, and what is known of each.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) files: Vec<SealedFile>,
    pub(super) facts: Vec<FileFacts>,
    /// The compacted partitions of which half is new since the last survey, and where that begins.
    pub(super) due: Vec<(PartitionId, Offset)>,
}

/// What the spans of a file come to, in bytes.
#[derive(Debug, Default, Clone, Copy)]
struct Live {
    /// What is needed, as far as can be told.
    needed: u64,
    /// All that may be needed.
    most: u64,
}

/// What the spans of a compacted partition come to.
#[derive(Debug)]
struct Due {
    /// Up to where the last survey looked. Before there was one, the segments at the beginning count
    /// as looked at: their keys were held against one another when they were written.
    surveyed: Option<Offset>,
    all_bytes: u64,
    new_bytes: u64,
    /// Where what is new begins.
    begin: Option<Offset>,
}

impl Cleaner {
    pub(super) fn facts(&self, policies: &Policies<'_>) -> Facts {
        // The files first: one that is sealed meanwhile is not judged by half of its spans.
        let files = self.visible.sealed.all();
        let avoided = files.iter().filter(|it| self.is_avoided(&it.file)).map(|it| it.file.id);
        let avoided: HashSet<u64> = avoided.collect();
        let mut live: HashMap<u64, Live> = HashMap::new();
        let mut due = Vec::new();
        for (id, partition) in self.visible.all_partitions() {
            let compacted = (policies.is_compacted)(id);
            let mut keys = Due::after(self.surveyed.get(&id).copied());
            partition.visit_spans(|span, start| {
                let superseded = self.superseded.get(&(span.file.id, id)).copied().unwrap_or(0);
                let bytes = span.bytes_from(start);
                let file = live.entry(span.file.id).or_default();
                file.needed += if compacted { bytes.saturating_sub(superseded) } else { bytes };
                file.most += span.bytes;
                if !avoided.contains(&span.file.id) {
                    keys.add(span);
                }
            });
            if let Some(begin) = keys.begin.filter(|_| compacted && keys.is_due()) {
                due.push((id, begin));
            }
        }
        let last = files.len().saturating_sub(1);
        let fact = |(at, sealed): (usize, &SealedFile)| {
            let live = live.get(&sealed.file.id);
            // What the newest file knows of the last entry is needed until the next one knows it.
            let cleanable = at < last && self.may_touch(&sealed.file, policies);
            fact(sealed, live.copied(), cleanable)
        };
        let facts = files.iter().enumerate().map(fact).collect();
        Facts { files, facts, due }
    }

    fn may_touch(&self, file: &LogFile, policies: &Policies<'_>) -> bool {
        let seen = file.seal().is_some_and(|seal| seal.newest.csn <= policies.views_csn);
        seen && !self.is_avoided(file)
    }

    /// Whether a file is left alone: something in it is not what was written, whether that was accepted or
    /// not. What it has of compacted partitions stays, and nobody looks for it either.
    pub(super) fn is_avoided(&self, file: &LogFile) -> bool {
        self.avoided.contains(&file.id) || self.visible.holes.is_in(&file.path)
    }

    /// What these files hold of each partition that still has any of it, by partition.
    pub(super) fn parts(
        &self,
        files: &HashSet<u64>,
        is_compacted: &dyn Fn(PartitionId) -> bool,
    ) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        for (partition, state) in self.visible.all_partitions() {
            let SpansIn { spans, start, from_first } = state.spans_in(files);
            if !spans.is_empty() {
                let compacted = is_compacted(partition);
                parts.push(Part { partition, spans, start, from_first, compacted });
            }
        }
        parts.sort_unstable_by_key(|part| part.partition);
        parts
    }
}

fn fact(sealed: &SealedFile, live: Option<Live>, cleanable: bool) -> FileFacts {
    let bytes = sealed.file.seal().map_or(0, |seal| seal.end);
    let is_dead = live.is_none();
    let Live { needed, most } = live.unwrap_or_default();
    let data = sealed.data_bytes.max(most);
    // Headers and tables are as dead as what they are for. Where there is no data, there is only what
    // says so.
    let share = |part: u64| {
        let share = u128::from(bytes) * u128::from(part) / u128::from(data.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    };
    let dead_bytes = if is_dead { bytes } else { share(data.saturating_sub(needed)) };
    FileFacts {
        bytes,
        dead_bytes,
        most_bytes: share(most),
        is_dead,
        is_segment: sealed.file.header.kind == FileKind::Segment,
        cleanable,
    }
}

impl Due {
    fn after(surveyed: Option<Offset>) -> Self {
        Self { surveyed, all_bytes: 0, new_bytes: 0, begin: None }
    }

    fn add(&mut self, span: &Span) {
        let is_old = match self.surveyed {
            Some(end) => span.end <= end,
            None => self.begin.is_none() && span.file.header.kind == FileKind::Segment,
        };
        self.all_bytes += span.bytes;
        if !is_old {
            self.new_bytes += span.bytes;
            self.begin.get_or_insert(span.base);
        }
    }

    /// A survey reads everything; so it waits until as much is new as was there.
    fn is_due(&self) -> bool {
        2 * self.new_bytes >= self.all_bytes
    }
}
