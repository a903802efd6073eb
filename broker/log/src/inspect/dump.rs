//! Everything that the log holds, entry by entry, for people.

use std::ops::ControlFlow;
use std::sync::Arc;

use logmill_model::{Csn, Envelope, Epoch, PartitionId, RecordBatch, Timestamp};

use super::{is_log_file, own, paths};
use crate::Error;
use crate::entry::{Head, Kind};
use crate::file_check::FileCheck;
use crate::file_header::{DecodedFileHeader, FILE_HEADER_BYTES, FileHeader};
use crate::storage::Storage;
use crate::window::Window;

/// A whole entry of a file.
#[derive(Debug)]
pub struct DumpedEntry {
    /// The file.
    pub path: String,
    /// Where in it.
    pub position: u64,
    /// Its length.
    pub bytes: u32,
    /// What it is.
    pub kind: &'static str,
    /// Its number; that of the commit before for what is no commit.
    pub csn: Csn,
    /// The start that wrote it first.
    pub epoch: Epoch,
    /// Its time.
    pub time: Timestamp,
    /// The newest commit that it says was durable.
    pub durable_csn: Csn,
    /// Its batches, in order.
    pub batches: Vec<DumpedBatch>,
}

/// A batch of an entry.
#[derive(Debug)]
pub struct DumpedBatch {
    /// Whose it is.
    pub partition: PartitionId,
    /// What the broker says of it.
    pub envelope: Envelope,
    /// Its records; None when they are not what was written.
    pub batch: Option<RecordBatch>,
}

/// Shows all whole entries of all files, in order, until `visit` breaks. What can't be read is left
/// out: [`verify`](super::verify) tells it.
///
/// # Errors
/// [`Error::Locked`] while a broker has the directory; [`Error::Io`].
pub fn dump(
    storage: &Arc<dyn Storage>,
    visit: &mut dyn FnMut(DumpedEntry) -> ControlFlow<()>,
) -> Result<(), Error> {
    let _lock = own(&**storage)?;
    for path in paths(&**storage)?.iter().filter(|path| is_log_file(path)) {
        let file = storage.open(path).map_err(|error| Error::io("open", path, error))?;
        let mut window = Window::new(path, file);
        let Some(header) = read_header(&mut window)? else { continue };
        let checked = FileCheck::of(&mut window, path, &header, |position, head, bytes| {
            visit(dumped(path, position, head, bytes))
        })?;
        if checked.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

/// The header of a file, if it is whole and of our version.
pub(super) fn read_header(window: &mut Window) -> Result<Option<FileHeader>, Error> {
    let bytes = window.at(0, FILE_HEADER_BYTES)?;
    Ok(match FileHeader::decode(&bytes[..bytes.len().min(FILE_HEADER_BYTES)]) {
        DecodedFileHeader::Header(header) => Some(header),
        DecodedFileHeader::Newer(_) | DecodedFileHeader::Bad => None,
    })
}

fn dumped(path: &str, position: u64, head: &Head, entry: &bytes::Bytes) -> DumpedEntry {
    let batches = head.checked(entry).map(|(row, batch)| DumpedBatch {
        partition: row.partition,
        envelope: row.envelope,
        batch: batch.ok(),
    });
    DumpedEntry {
        path: path.to_owned(),
        position,
        bytes: head.header.length,
        kind: name(head.header.kind),
        csn: head.header.csn,
        epoch: head.header.epoch,
        time: head.header.time,
        durable_csn: head.header.durable_csn,
        batches: batches.collect(),
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Commit => "commit",
        Kind::Checkpoint => "checkpoint",
        Kind::Seal(_) => "seal",
        Kind::Recovered => "recovered",
        Kind::Block => "block",
        Kind::Coverage => "coverage",
    }
}
