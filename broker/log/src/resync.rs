//! Finding whole entries behind a bad place.
//!
//! Entries cannot be forged: the file's salt is in the checksums of their headers. So wherever a
//! whole header lies, there an entry was written.

use std::ops::ControlFlow;

use crate::Error;
use crate::entry::{ALIGNMENT, ENTRY_HEADER_BYTES, EntryHeader, MAGIC};
use crate::file_header::Salt;
use crate::layout::array_at;
use crate::window::Window;

/// Visits the whole headers from `position` on, wherever they lie, with their places, until
/// `visit` breaks.
pub(crate) fn find_headers<B>(
    window: &mut Window,
    salt: Salt,
    mut position: u64,
    mut visit: impl FnMut(u64, &EntryHeader) -> ControlFlow<B>,
) -> Result<Option<B>, Error> {
    loop {
        let bytes = window.at(position, ENTRY_HEADER_BYTES)?;
        if bytes.len() < ENTRY_HEADER_BYTES {
            return Ok(None);
        }
        let places = bytes.len() / ALIGNMENT;
        let found = bytes.chunks_exact(ALIGNMENT).position(|word| word[..MAGIC.len()] == MAGIC);
        position += (found.unwrap_or(places) * ALIGNMENT) as u64;
        if found.is_none() {
            continue;
        }
        let bytes = window.at(position, ENTRY_HEADER_BYTES)?;
        if bytes.len() < ENTRY_HEADER_BYTES {
            return Ok(None);
        }
        if let Ok((header, _)) = EntryHeader::decode(&array_at(&bytes, 0), salt)
            && let ControlFlow::Break(value) = visit(position, &header)
        {
            return Ok(Some(value));
        }
        position += ALIGNMENT as u64;
    }
}

/// The first whole header behind a bad place, before `end`.
pub(crate) fn next_entry(
    window: &mut Window,
    salt: Salt,
    bad_at: u64,
    end: u64,
) -> Result<Option<u64>, Error> {
    let from = bad_at + ALIGNMENT as u64;
    let found = find_headers(window, salt, from, |position, _| ControlFlow::Break(position))?;
    Ok(found.filter(|position| *position < end))
}
