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
use crate::entry::{ALIGNMENT, EntryHeader, Kind, SealReason};
use crate::file_header::FILE_HEADER_BYTES;
use crate::resync::find_headers;

/// What lies behind a bad place.
pub(super) struct Behind {
    /// Why the entry that should be at the bad place must have been durable, if anything says so.
    pub(super) proof: Option<&'static str>,
    /// Where the next entry that can follow begins.
    pub(super) next: Option<(u64, EntryHeader)>,
}

/// Looks behind `position`, where the commit `expected` or a mark before it should be and is bad.
/// `durable` says that it is known to have been durable.
pub(super) fn look_behind(
    file: &JournalFile,
    position: u64,
    expected: Csn,
    durable: Option<&'static str>,
) -> Result<Behind, Error> {
    let mut behind = Behind { proof: durable, next: None };
    let mut window = file.window()?;
    let from = position + ALIGNMENT as u64;
    find_headers(&mut window, file.header.salt, from, |at, header| {
        let follows = match header.kind {
            Kind::Commit => header.csn >= expected,
            _ => header.csn.next() >= expected,
        };
        if follows && behind.next.is_none() {
            behind.next = Some((at, *header));
        }
        if behind.proof.is_none() {
            behind.proof = proves(header, expected);
        }
        match (&behind.proof, &behind.next) {
            (Some(_), Some(_)) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    })?;
    Ok(behind)
}

fn proves(header: &EntryHeader, expected: Csn) -> Option<&'static str> {
    match header.kind {
        Kind::Commit if header.durable_csn >= expected => Some("a later entry says it was durable"),
        Kind::Commit if header.csn == expected => Some("its place is taken, and it follows"),
        Kind::Commit => None,
        _ => Some("what follows was written when all before it was durable"),
    }
}

/// Whether a superseding file had all that it supersedes: it was sealed, as its index tells, or its
/// completion record is there, or something that was written after it.
pub(super) fn is_complete(file: &JournalFile) -> Result<bool, Error> {
    if file.sealed_at().is_some() {
        return Ok(true);
    }
    let begin = FILE_HEADER_BYTES as u64;
    let complete = find_headers(&mut file.window()?, file.header.salt, begin, |_, header| {
        if header.kind == Kind::Recovered || header.epoch == file.header.epoch {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    Ok(complete.is_some())
}

/// Whether what a file supersedes, from `from` on, is gone from the older files: then the file must
/// have been complete, though its completion record is bad. The older files end right before it,
/// with a seal, and none of those that it replaces has anything in it.
pub(super) fn source_is_gone(older: &[JournalFile], from: Csn) -> Result<bool, Error> {
    for file in older.iter().rev() {
        if file.header.first < from {
            return is_sealed_before(file, from);
        }
        if !file.is_blank()? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_sealed_before(file: &JournalFile, from: Csn) -> Result<bool, Error> {
    let is_before = |seal: EntryHeader| {
        seal.kind == Kind::Seal(SealReason::Superseded) && seal.csn.next() == from
    };
    Ok(file.seal()?.is_some_and(is_before))
}
