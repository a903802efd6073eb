//! Torn or rotten? What lies behind a bad place tells.
//!
//! Marks (checkpoints, seals, completion records) are written only when all that lies before them
//! is durable, and a commit's header names the newest commit that was. A whole one behind the bad
//! place so proves what cannot have been torn by a power cut. Headers cannot be forged, since the
//! file's salt is in their checksums.

use std::ops::ControlFlow;

use logmill_model::Csn;

use super::directory::JournalFile;
use crate::Error;
use crate::entry::{ALIGNMENT, ENTRY_HEADER_BYTES, EntryHeader, Kind, MAGIC};
use crate::file_header::FILE_HEADER_BYTES;
use crate::layout::array_at;

/// Visits the whole headers from `position` on, wherever they lie, until `visit` breaks.
fn find_headers<B>(
    file: &JournalFile,
    mut position: u64,
    mut visit: impl FnMut(&EntryHeader) -> ControlFlow<B>,
) -> Result<Option<B>, Error> {
    let mut window = file.window()?;
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
        if let Ok((header, _)) = EntryHeader::decode(&array_at(&bytes, 0), file.header.salt)
            && let ControlFlow::Break(value) = visit(&header)
        {
            return Ok(Some(value));
        }
        position += ALIGNMENT as u64;
    }
}

/// Why the commit `expected`, which is bad at `position`, must have been durable; `None` when
/// nothing says so.
pub(super) fn proof_of_durability(
    file: &JournalFile,
    position: u64,
    expected: Csn,
) -> Result<Option<String>, Error> {
    find_headers(file, position + ALIGNMENT as u64, |header| {
        let why = match header.kind {
            Kind::Commit if header.durable_csn >= expected => "a later entry says it was durable",
            Kind::Commit if header.csn == expected => "its place is taken, and it follows",
            Kind::Commit => return ControlFlow::Continue(()),
            _ => "what follows was written when all before it was durable",
        };
        ControlFlow::Break(why.to_owned())
    })
}

/// Whether a superseding file has all that it supersedes: it is sealed, or its completion record is
/// there, or something that was written after it.
pub(super) fn is_complete(file: &JournalFile) -> Result<bool, Error> {
    if file.summary()?.is_some() {
        return Ok(true);
    }
    let complete = find_headers(file, FILE_HEADER_BYTES as u64, |header| {
        if header.kind == Kind::Recovered || header.epoch == file.header.epoch {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    Ok(complete.is_some())
}
