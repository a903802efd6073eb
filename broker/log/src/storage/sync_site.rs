//! The table of all places in the code that sync. Each exists because something durable would be
//! lost without it; `tests/syncs.rs` switches them off one after another and demands that it is.

use std::fmt;

/// Where in the code a sync stands. Each place has a name of its own, so that a test can switch it
/// off and prove that it is needed, and so that a failure says what failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SyncSite(&'static str);

/// Makes the constants, and the list of all of them: none can be left out of it.
macro_rules! sync_sites {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {
        impl SyncSite {
            $($(#[doc = $doc])+ pub const $name: Self = Self($text);)+

            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];
        }
    };
}

sync_sites! {
    /// A group of entries, before they are visible and acknowledged.
    GROUP = "group of entries";
    /// The checkpoint of an idle journal.
    CHECKPOINT = "checkpoint";
    /// The seal of a journal file.
    SEAL = "seal";
    /// The header of a new journal file.
    HEADER = "file header";
    /// The name of a new journal file.
    JOURNAL_FOLDER = "journal folder";
    /// The names of the folders in the data directory.
    ROOT_FOLDER = "data directory";
    /// Recovery's copies of unproven entries.
    COPIES = "recovered entries";
    /// The record that says that recovery's copies are complete.
    COMPLETION = "recovery's completion record";
    /// What recovery cut off, kept beside.
    TORN = "torn bytes";
    /// What the cleaner kept of older files.
    SEGMENT = "segment";
    /// The name of a new segment.
    SEGMENT_FOLDER = "segments folder";
    /// A file of a backup.
    BACKUP = "file of a backup";
    /// The names of a backup's files.
    BACKUP_FOLDER = "folder of a backup";
    /// An uploaded module.
    MODULE = "module";
    /// The name of an uploaded module.
    MODULES_FOLDER = "modules folder";
}

impl fmt::Display for SyncSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
