//! A copy of the log as of one moment, made while the log is written to.
//!
//! [`Log::cut`](crate::Log::cut) pins the files that hold all entries up to the newest durable one;
//! the cleaner can replace them meanwhile, but they stay until the cut is dropped.
//! [`Cut::copy_to`] copies them into another storage and verifies every entry on the way. The copy
//! of the file that is being written ends with the cut's entry, and with the seal of a log that was
//! closed: so a broker opens the copy as it opens its own directory after a shutdown.
//!
//! While a target is being filled it holds the file [`INCOMPLETE`], and no log opens there; or it
//! still holds the backup that was there before.
//! **So a target is always a whole backup, or is known not to be one.** A file that is there
//! already, of the same bytes, is not copied again: what was interrupted goes on, and a later
//! backup into the same target copies what is new.

mod copy;
mod source;
mod target;

use std::sync::Arc;

use logmill_model::{ClusterId, Csn};

use crate::file_name::{FOLDER, SEGMENT_FOLDER, index_path};
use crate::log_file::LogFile;
use crate::sealed::FileSnapshot;
use crate::storage::Storage;
use crate::visible::Visible;
use crate::{Error, index_file};

pub(crate) use copy::PART_SUFFIX;
pub use target::{INCOMPLETE, MANIFEST, Target};

/// How often the files are looked at again when they changed in between.
const TRIES_MAX: u32 = 100;

/// All entries of a log up to one of them.
#[derive(Debug)]
pub struct Cut {
    visible: Arc<Visible>,
    files: FileSnapshot,
    csn: Csn,
}

/// What a copy consists of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copied {
    /// The paths of its files, and their lengths in bytes.
    pub files: Vec<(String, u64)>,
    /// How many bytes of them were not there before.
    pub copied_bytes: u64,
}

impl Cut {
    /// Pins the log as it is now; None when files come and go too fast.
    pub(crate) fn of(visible: &Arc<Visible>) -> Option<Self> {
        for _ in 0..TRIES_MAX {
            let files = visible.sealed.snapshot()?;
            // A segment among the files counts from an entry that is durable by now.
            let csn = visible.durable_csn();
            if files.is_as(&visible.sealed.snapshot()?) {
                return Some(Self { visible: Arc::clone(visible), files, csn });
            }
        }
        None
    }

    /// The newest entry of it.
    #[must_use]
    pub fn csn(&self) -> Csn {
        self.csn
    }

    /// The cluster that it is of.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.files.growing.header.cluster
    }

    /// About how many bytes a copy has.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.sealed.iter().map(|file| file.sealed_bytes()).sum()
    }

    /// Copies the log. `go_on` is told how many bytes are done, and ends the copying by `false`.
    ///
    /// # Errors
    /// [`Error::NotAccepted`] names the file of the log, and where in it, that is not what was
    /// written: what is corrupt is copied only when it was accepted as lost, and is so in the copy as
    /// well. [`Error::Interrupted`]; [`Error::Io`] and [`Error::Sync`] of the target, which can be
    /// filled again.
    pub fn copy_to(
        &self,
        target: &Target,
        go_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Copied, Error> {
        if let Some(hole) = self.visible.open_holes().into_iter().next() {
            return Err(Error::not_accepted(hole));
        }
        let mut copied = Copied::default();
        let storage = self.visible.files.storage();
        for path in &self.files.headless {
            copy::headless(storage, path, target, &mut copied)?;
        }
        let mut done = 0;
        // One that may count goes first: a copy without the files that it replaces would be none.
        for file in self.files.pending.iter().chain(&self.files.sealed) {
            let bytes = copy::sealed(&self.visible, file, target, &mut copied)?;
            self.copy_index(file, target)?;
            done += bytes;
            if !go_on(done) {
                return Err(Error::Interrupted);
            }
        }
        let before = self.files.sealed.last().and_then(|file| file.seal());
        let newest = before.map(|seal| seal.newest).unwrap_or_default();
        let range = (newest, self.csn);
        copy::growing(&self.visible, &self.files.growing, range, target, &mut copied)?;
        Ok(copied)
    }

    /// Spares the first start from the copy a scan. An index that has rotted is made anew there. It gets
    /// its name with its file: alone it would tell of one that is missing.
    fn copy_index(&self, file: &Arc<LogFile>, target: &Target) -> Result<(), Error> {
        let (files, path) = (&self.visible.files, index_path(&file.path));
        let opened = files.open(file)?;
        index_file::remove(target.storage(), &file.path);
        if index_file::first_bad(files.storage(), &file.path, &file.header, &*opened).is_none() {
            match copy::as_it_is(files.storage(), target.storage(), &path) {
                Ok(()) => target.add(&path)?,
                Err(error) => tracing::debug!(%error, path, "an index was not copied"),
            }
        }
        Ok(())
    }
}

/// Whether a storage holds a backup that is not whole.
pub(crate) fn is_incomplete(storage: &dyn Storage) -> Result<bool, Error> {
    target::is_there(storage, INCOMPLETE)
}

/// Removes what a backup that did not get to its end has left in a log's folders.
pub(crate) fn clear_parts(storage: &dyn Storage) -> Result<(), Error> {
    for folder in [FOLDER, SEGMENT_FOLDER] {
        let names = storage.list(folder).map_err(|error| Error::io("list", folder, error))?;
        for name in names.iter().filter(|name| name.ends_with(PART_SUFFIX)) {
            let path = format!("{folder}/{name}");
            storage.remove(&path).map_err(|error| Error::io("remove", &path, error))?;
        }
    }
    Ok(())
}
