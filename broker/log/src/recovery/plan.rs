//! Which files are the journal, when recoveries and their crashes have left more than that.
//!
//! A superseding file that is complete replaces all older ones from its first CSN on: files that
//! begin there or later are dead, and the one before it is read only up to there, whatever lies
//! behind. A superseding file that is not complete is what a crash in a recovery left; what it was
//! made from is all still there, and it is dead.

use logmill_model::Csn;

use super::directory::JournalFile;
use super::evidence::is_complete;
use crate::Error;
use crate::file_header::FILE_HEADER_BYTES;

/// A file of the journal.
pub(super) struct Live {
    pub(super) file: JournalFile,
    /// Entries from this CSN on are not judged: a newer file has them.
    pub(super) until: Option<Csn>,
}

pub(super) struct Plan {
    /// In the order of their entries.
    pub(super) live: Vec<Live>,
    /// Paths of files that hold nothing of the journal.
    pub(super) dead: Vec<String>,
}

impl Plan {
    pub(super) fn of(files: Vec<JournalFile>, blank: Vec<String>) -> Result<Self, Error> {
        let mut plan = Self { live: Vec::new(), dead: blank };
        let mut replaced_from = None;
        let mut until = None;
        for file in files.into_iter().rev() {
            let first = file.header.first;
            if replaced_from.is_some_and(|from| first >= from) {
                plan.dead.push(file.path);
                continue;
            }
            let until_here = until.take();
            if let Some(supersedes) = file.header.supersedes {
                if !is_complete(&file)? {
                    if let Some(newer) = plan.live.last() {
                        let what = format!(
                            "its completion record is missing, though {} follows",
                            newer.file.path
                        );
                        return Err(Error::corrupt(&file.path, FILE_HEADER_BYTES as u64, what));
                    }
                    plan.dead.push(file.path);
                    continue;
                }
                replaced_from = Some(supersedes);
                until = Some(supersedes);
            }
            plan.live.push(Live { file, until: until_here });
        }
        plan.live.reverse();
        Ok(plan)
    }
}
