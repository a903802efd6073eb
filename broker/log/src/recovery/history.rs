//! Goes through all that is live, in order, and finds where it ends. Changes nothing on disk.

use std::collections::VecDeque;

use logmill_model::internal::RemovedRecord;

use super::continuity::check_continuity;
use super::directory::JournalFile;
use super::evidence::proof_of_durability;
use super::file_read::{Contents, End, FileRead};
use super::new_indexes::NewIndexes;
use super::placed::Placed;
use super::plan::Live;
use crate::Error;
use crate::active_file::Newest;
use crate::entry::SealReason;
use crate::visible::Visible;

/// What the journal holds.
#[derive(Default)]
pub(super) struct History {
    /// The newest commit of all.
    pub(super) newest: Newest,
    /// The file that the last broker wrote last.
    pub(super) tail: Option<Tail>,
    /// Older files that a newer one replaces from some entry on, and that are not sealed there.
    pub(super) unsealed: Vec<Unsealed>,
    /// Paths of files in which no commit is live.
    pub(super) empty: Vec<String>,
    /// Indexes that were missing or bad.
    pub(super) new_indexes: NewIndexes,
    /// Files with commits, and their bytes.
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Files that were read whole, and their bytes.
    pub(super) scanned_files: u64,
    pub(super) scanned_bytes: u64,
}

/// The end of the journal.
pub(super) struct Tail {
    pub(super) file: JournalFile,
    /// Whether the last broker closed it.
    pub(super) stopped: bool,
    /// The newest commit that is proven durable, here or in a file before.
    pub(super) proven: Newest,
    /// Whether the file holds any proven commit.
    pub(super) has_proven: bool,
    /// Whole commits that nothing proves durable.
    pub(super) unproven: VecDeque<Placed>,
    /// Where the proven ones end, and where the whole ones do.
    pub(super) proven_end: u64,
    pub(super) whole_end: u64,
}

/// A file to be sealed behind its commit `newest`, which ends at `position`.
pub(super) struct Unsealed {
    pub(super) file: JournalFile,
    pub(super) newest: Newest,
    pub(super) position: u64,
}

impl History {
    /// Reads the live files, and shows readers what is proven.
    pub(super) fn read(
        live: Vec<Live>,
        removed: &RemovedRecord,
        visible: &Visible,
    ) -> Result<Self, Error> {
        let mut history = Self::default();
        let mut live = live.into_iter();
        while let Some(Live { file, until }) = live.next() {
            let before = check_continuity(&file, history.newest, removed)?;
            let mut read = FileRead::of(&file, until, before)?;
            history.newest = read.newest;
            if let Contents::Index(_) = read.contents {
                history.scanned_files += 1;
                history.scanned_bytes += read.position;
            }
            match &read.end {
                End::Replaced(seal) => {
                    let (newest, position, sealed) = (read.newest, read.position, seal.is_some());
                    history.add_file(&file, &mut read, before, visible)?;
                    if !sealed {
                        history.unsealed.push(Unsealed { file, newest, position });
                    }
                }
                End::Sealed(SealReason::Stopped) if live.len() == 0 => {
                    history.end(file, read, before, visible)?;
                }
                End::Sealed(_) if live.len() == 0 => {
                    let (first, path) = (read.newest.csn.next(), file.path);
                    return Err(Error::Missing { first, last: None, place: "after", path });
                }
                End::Sealed(_) => history.add_file(&file, &mut read, before, visible)?,
                End::Bad(what) => {
                    check_torn(&file, &read, what)?;
                    for later in live.by_ref() {
                        history.skip_blank(later.file, &file, &read)?;
                    }
                    history.end(file, read, before, visible)?;
                }
            }
        }
        Ok(history)
    }

    /// Shows readers the proven commits of a file.
    fn add_file(
        &mut self,
        file: &JournalFile,
        read: &mut FileRead,
        before: Newest,
        visible: &Visible,
    ) -> Result<(), Error> {
        if read.proven.csn == before.csn {
            self.empty.push(file.path.clone());
            return Ok(());
        }
        let seal = read.seal(before);
        let summary = match read.take_contents() {
            Contents::Summary(summary) => summary,
            Contents::Index(index) => {
                let (summary, bytes) = index.finish(file.header.salt, file.header.first, seal);
                self.new_indexes.push(&file.path, bytes);
                summary
            }
        };
        let shown = visible.files.add(&file.path, file.header);
        shown.set_seal(seal);
        self.files += 1;
        self.bytes += seal.end;
        visible.show_file(&shown, &summary)
    }

    /// The next file's header was made ahead, and nothing was written to it: this one is the last.
    fn skip_blank(
        &mut self,
        later: JournalFile,
        last: &JournalFile,
        read: &FileRead,
    ) -> Result<(), Error> {
        if !later.is_blank()? {
            let what = format!("its seal is missing, though {} was written after it", later.path);
            return Err(Error::corrupt(&last.path, read.position, what));
        }
        self.empty.push(later.path);
        Ok(())
    }

    fn end(
        &mut self,
        file: JournalFile,
        mut read: FileRead,
        before: Newest,
        visible: &Visible,
    ) -> Result<(), Error> {
        self.add_file(&file, &mut read, before, visible)?;
        self.tail = Some(Tail {
            stopped: matches!(read.end, End::Sealed(_)),
            proven: read.proven,
            has_proven: read.proven.csn > before.csn,
            proven_end: read.proven_end(),
            whole_end: read.position,
            unproven: read.unproven,
            file,
        });
        Ok(())
    }
}

/// What is bad at the end of the last file may be cut off only if it can have been torn.
fn check_torn(file: &JournalFile, read: &FileRead, what: &str) -> Result<(), Error> {
    let expected = read.newest.csn.next();
    let proof = if expected <= read.durable_csn {
        Some("an entry before it says it was durable".to_owned())
    } else {
        proof_of_durability(file, read.position, expected)?
    };
    match proof {
        None => Ok(()),
        Some(proof) => {
            let what = format!("entry {expected} should be here: {what}, and {proof}");
            Err(Error::corrupt(&file.path, read.position, what))
        }
    }
}
