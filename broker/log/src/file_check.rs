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
            let (head, entry) = match read_entry(window, position, header)? {
                Ok(read) => read,
                Err(what) => {
                    let next = next_entry(window, header.salt, position, end)?;
                    let bytes = next.unwrap_or(end) - position;
                    check.holes.push(Hole::at(path, position, bytes, what));
                    position = next.unwrap_or(end);
                    continue;
                }
            };
            check.take(path, position, &head, &entry);
            position += u64::from(head.header.length);
            check.end = position;
            if visit(position - u64::from(head.header.length), &head, &entry).is_break() {
                return Ok(None);
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

    fn take(&mut self, path: &str, position: u64, head: &Head, entry: &Bytes) {
        self.entries += 1;
        self.is_sealed = matches!(head.header.kind, Kind::Seal(_));
        self.count(head);
        if header_is_dense(head) {
            head.rows.iter().for_each(|row| self.follow(row));
        }
        if let Err(what) = head.batches(entry) {
            let bytes = u64::from(head.header.length);
            let lost = head.bad_batches(entry);
            self.holes.push(Hole { lost, ..Hole::at(path, position, bytes, what) });
        }
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

fn read_entry(
    window: &mut Window,
    position: u64,
    header: &FileHeader,
) -> Result<Result<(Head, Bytes), &'static str>, Error> {
    let head = match window.head(position, header.salt)? {
        Ok(head) => head,
        Err(what) => return Ok(Err(what)),
    };
    let length = head.header.length as usize;
    let bytes = window.at(position, length)?;
    if bytes.len() < length {
        return Ok(Err("the file ends within the entry"));
    }
    Ok(Ok((head, bytes.slice(..length))))
}
