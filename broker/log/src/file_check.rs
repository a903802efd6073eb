//! Reads one file of the log from front to back and finds all that is not what was written.
//!
//! It judges nothing: what it finds at the end of the last file may have been torn. It holds no more
//! than one entry, and the end of each partition.

use std::collections::HashMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use logmill_model::internal::CsnRange;
use logmill_model::{Csn, Offset, PartitionId};

use crate::entry::{Head, Kind, Row};
use crate::file_header::{FILE_HEADER_BYTES, FileHeader};
use crate::resync::next_entry;
use crate::window::Window;
use crate::{Error, Hole, LostRange};

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct FileCheck {
    pub(crate) holes: Vec<Hole>,
    pub(crate) entries: u64,
    /// Where its last whole entry ends.
    pub(crate) end: u64,
    pub(crate) is_sealed: bool,
    ends: HashMap<PartitionId, Offset>,
    newest: Option<Csn>,
}

impl FileCheck {
    /// Reads the file with this header and shows each whole entry with its place and its bytes,
    /// until `visit` breaks; None then.
    pub(crate) fn of(
        window: &mut Window,
        path: &str,
        header: &FileHeader,
        mut visit: impl FnMut(u64, &Head, &Bytes) -> ControlFlow<()>,
    ) -> Result<Option<Self>, Error> {
        let end = window.zeros_from_end()?;
        let mut check = Self { end: FILE_HEADER_BYTES as u64, ..Self::default() };
        let mut position = check.end;
        while position < end && !check.is_sealed {
            match read_entry(window, path, header, position)? {
                Err(hole) => {
                    position += hole.bytes;
                    check.holes.push(hole);
                }
                Ok(read) => {
                    let (head, entry) = (&read.head, &read.entry);
                    check.take(head, read.damage);
                    let begin = position;
                    position += u64::from(head.header.length);
                    check.end = position;
                    if visit(begin, head, entry).is_break() {
                        return Ok(None);
                    }
                }
            }
        }
        if check.is_sealed && position < end {
            check.holes.push(Hole::at(
                path,
                position,
                end - position,
                "it goes on behind its seal",
            ));
        }
        Ok(Some(check))
    }

    fn take(&mut self, head: &Head, damage: Option<Hole>) {
        self.entries += 1;
        self.is_sealed = matches!(head.header.kind, Kind::Seal(_));
        self.count(head);
        if header_is_dense(head) {
            head.rows.iter().for_each(|row| self.follow(row));
        }
        self.holes.extend(damage);
    }

    /// Tells the last hole which commits it had.
    fn count(&mut self, head: &Head) {
        let csn = head.header.csn;
        let before =
            if head.header.kind == Kind::Commit { Csn(csn.0.saturating_sub(1)) } else { csn };
        if let (Some(newest), Some(hole)) = (self.newest, self.holes.last_mut())
            && newest < before
            && hole.csns.is_none()
        {
            hole.csns = Some(CsnRange { first: newest.next(), last: before });
        }
        self.newest = Some(csn);
    }

    /// What is missing before a batch was in the last hole.
    fn follow(&mut self, Row { partition, envelope }: &Row) {
        let (base, end) = (envelope.base_offset, envelope.end_offset());
        if let Some(from) = self.ends.insert(*partition, end).filter(|from| *from < base)
            && let Some(hole) = self.holes.last_mut()
        {
            hole.lost.push(LostRange { partition: *partition, from, to: base });
        }
    }
}

/// Whether partitions go on in it where they ended: not in a segment.
fn header_is_dense(head: &Head) -> bool {
    head.header.kind == Kind::Commit
}

/// An entry whose header and table are whole.
pub(crate) struct EntryRead {
    pub(crate) head: Head,
    /// All its bytes.
    pub(crate) entry: Bytes,
    /// Which of its batches are not what was written, if that is so.
    pub(crate) damage: Option<Hole>,
}

/// Reads the entry at a position; or else the hole there, up to the next entry or the end of what is
/// written.
pub(crate) fn read_entry(
    window: &mut Window,
    path: &str,
    header: &FileHeader,
    position: u64,
) -> Result<Result<EntryRead, Hole>, Error> {
    let what = match window.head(position, header.salt)? {
        Err(what) => what,
        Ok(head) => {
            let length = head.header.length as usize;
            let bytes = window.at(position, length)?;
            if bytes.len() >= length {
                let entry = bytes.slice(..length);
                let damage = head.batches(&entry).err().map(|what| {
                    let hole = Hole::at(path, position, length as u64, what);
                    Hole { lost: head.bad_batches(&entry), ..hole }
                });
                return Ok(Ok(EntryRead { head, entry, damage }));
            }
            "the file ends within the entry"
        }
    };
    let end = match next_entry(window, header.salt, position, u64::MAX)? {
        Some(next) => next,
        None => window.zeros_from(position)?,
    };
    Ok(Err(Hole::at(path, position, end - position, what)))
}
