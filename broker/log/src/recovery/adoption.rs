//! Segments that count though their record is lost.
//!
//! A segment is named by its record in `_segments` alone. When that record may be among those that
//! are lost, and entries are in no file, a whole segment that has them is all there is of them: what
//! it was made from is gone. Of several, the newest one was made from the others.

use logmill_model::Csn;
use logmill_model::internal::{CsnRange, SegmentRecord};

use super::directory::JournalFile;
use super::file_set::FileSet;
use crate::Error;
use crate::entry::{Kind, SealReason};

/// A segment without a record that has entries which no other file has, if records may be lost.
pub(super) fn adoptable(set: &FileSet) -> Result<Option<(String, SegmentRecord)>, Error> {
    if set.gaps.unsure_before == Csn::ZERO || set.unclaimed.is_empty() {
        return Ok(None);
    }
    let mut segments = Vec::new();
    for (name, file) in &set.unclaimed {
        if let Some(last) = last_of_segment(file)? {
            segments.push((file.header.epoch, name, CsnRange { first: file.header.first, last }));
        }
    }
    segments.sort_unstable();
    for gap in gaps(set)? {
        let has = |(_, _, range): &&(_, &String, CsnRange)| {
            range.first <= gap.first && gap.first <= range.last
        };
        if let Some((_, name, CsnRange { first, last })) = segments.iter().rfind(has) {
            let record = SegmentRecord { first: *first, last: *last, replaces: Vec::new() };
            return Ok(Some(((*name).clone(), record)));
        }
    }
    Ok(None)
}

/// What is between the files, as far as they tell where they end.
fn gaps(set: &FileSet) -> Result<Vec<CsnRange>, Error> {
    let mut gaps = Vec::new();
    let mut next = Some(Csn::ZERO.next());
    for live in &set.live {
        let first = live.file.header.first;
        if let Some(next) = next.filter(|next| *next < first) {
            gaps.push(CsnRange { first: next, last: Csn(first.0 - 1) });
        }
        let sealed = live.file.seal()?.map(|seal| seal.csn.next());
        next = live.until.into_iter().chain(sealed).min();
    }
    let gone =
        |gap: &CsnRange| gap.last < set.gaps.unsure_before && !set.gaps.removed.contains(*gap);
    Ok(gaps.into_iter().filter(gone).collect())
}

/// The last entry that a segment stands for; None when it has no end.
fn last_of_segment(file: &JournalFile) -> Result<Option<Csn>, Error> {
    let seal = file.seal()?.filter(|seal| seal.kind == Kind::Seal(SealReason::Cleaned));
    Ok(seal.map(|seal| seal.csn))
}
