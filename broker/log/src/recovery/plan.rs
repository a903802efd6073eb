//! Which files are the journal, when recoveries and their crashes have left more than that.
//!
//! A superseding file that is complete replaces all older ones from its first CSN on: files that
//! begin there or later are dead, and the one before it is read only up to there, whatever lies
//! behind. A superseding file that is not complete is what a crash in a recovery left; what it was
//! made from is all still there, and it is dead.

use logmill_model::Csn;

use super::directory::{HeadlessFile, JournalFile};
use super::evidence::{is_complete, source_is_gone};
use crate::Error;

/// A file of the journal.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) file: JournalFile,
    /// Entries from this CSN on are not judged: a newer file has them.
    pub(super) until: Option<Csn>,
    /// Whether something of it was found to be bad already: it is then read whole, index or not.
    pub(super) has_bad: bool,
}

impl Live {
    pub(super) fn new(file: JournalFile, until: Option<Csn>) -> Self {
        Self { file, until, has_bad: false }
    }
}

pub(super) struct Plan {
    /// In the order of their entries.
    pub(super) live: Vec<Live>,
    /// Files that hold entries which nobody can read, in the same order.
    pub(super) headless: Vec<HeadlessFile>,
    /// Paths of files that hold nothing of the journal.
    pub(super) dead: Vec<String>,
}

impl Plan {
    pub(super) fn of(
        mut files: Vec<JournalFile>,
        mut headless: Vec<HeadlessFile>,
        blank: Vec<String>,
    ) -> Result<Self, Error> {
        let (mut live, mut dead) = (Vec::new(), blank);
        let mut replaced_from = None;
        let mut until = None;
        while let Some(file) = files.pop() {
            let first = file.header.first;
            if replaced_from.is_some_and(|from| first >= from) {
                dead.push(file.path);
                continue;
            }
            let until_here = until.take();
            if let Some(supersedes) = file.header.supersedes {
                // When a newer file follows, it was complete, whatever has become of the record.
                let is_followed = !live.is_empty()
                    || headless.last().is_some_and(|newer| newer.name > file.name());
                if !is_followed && !is_complete(&file)? && !source_is_gone(&files, supersedes)? {
                    dead.push(file.path);
                    continue;
                }
                // It replaces those that nobody can read as well.
                headless.retain(|it| it.name > file.name() || it.name.first < supersedes);
                replaced_from = Some(supersedes);
                until = Some(supersedes);
            }
            live.push(Live::new(file, until_here));
        }
        live.reverse();
        Ok(Self { live, headless, dead })
    }
}
