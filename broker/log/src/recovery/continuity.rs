//! Whether the entries of one file follow those of the file before it.

use logmill_model::Csn;

use super::directory::JournalFile;
use crate::Error;
use crate::active_file::Newest;

/// Decides whether a file may come after the commit `newest`. Every gap between two files is
/// decided here.
pub(super) fn check_continuity(file: &JournalFile, newest: Newest) -> Result<(), Error> {
    let (first, expected) = (file.header.first, newest.csn.next());
    if first > expected {
        let (last, path) = (Some(Csn(first.0 - 1)), file.path.clone());
        return Err(Error::Missing { first: expected, last, place: "before", path });
    }
    if first < expected {
        let what = format!("it begins at entry {first}, which an older file has");
        return Err(Error::foreign(&file.path, what));
    }
    Ok(())
}
