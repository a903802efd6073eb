//! Whether the entries of one file follow those of the file before it.

use logmill_model::Csn;
use logmill_model::internal::{CsnRange, RemovedRecord};

use super::directory::JournalFile;
use crate::Error;
use crate::active_file::Newest;
use crate::file_header::FILE_HEADER_BYTES;

/// Decides whether a file may come after the commit `newest`, and tells the commit that it follows.
/// Every gap between two files is decided here: its entries must have been removed.
pub(super) fn check_continuity(
    file: &JournalFile,
    newest: Newest,
    removed: &RemovedRecord,
) -> Result<Newest, Error> {
    let (first, expected) = (file.header.first, newest.csn.next());
    if first == expected {
        return Ok(newest);
    }
    if first < expected {
        let what = format!("it begins at entry {first}, which an older file has");
        return Err(Error::foreign(&file.path, what));
    }
    let last = Csn(first.0 - 1);
    if removed.contains(CsnRange { first: expected, last }) {
        let entry_crc = first_prev_crc(file)?;
        return Ok(Newest { csn: last, entry_crc, time: newest.time });
    }
    let path = file.path.clone();
    Err(Error::Missing { first: expected, last: Some(last), place: "before", path })
}

/// The entry CRC of the commit that a file says it follows: what it can be held against is gone. 0
/// when that can't be read either.
fn first_prev_crc(file: &JournalFile) -> Result<u32, Error> {
    let position = FILE_HEADER_BYTES as u64;
    let head = file.window()?.head(position, file.header.salt)?;
    Ok(head.map_or(0, |head| head.header.prev_crc))
}
