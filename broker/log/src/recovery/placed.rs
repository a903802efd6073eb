//! Where a recovered commit lies, so that readers can be shown it there, or where it is copied to.

use logmill_model::{Envelope, Offset, PartitionId};

use crate::Error;
use crate::active_file::Newest;
use crate::entry::{ENTRY_HEADER_BYTES, Head, ROW_BYTES};
use crate::files::FileId;
use crate::partition::BatchPlace;
use crate::visible::Visible;
use crate::writer::position_in_index;

pub(super) struct Placed {
    pub(super) newest: Newest,
    pub(super) position: u64,
    pub(super) length: u32,
    appends: Vec<PlacedAppend>,
}

/// Positions are in the entry.
struct PlacedAppend {
    partition: PartitionId,
    base: Offset,
    last_delta: u32,
    row_at: u64,
    row_crc: u32,
    batch_at: u64,
    bytes: u32,
}

impl Placed {
    /// The commit of this head, which lies at `position` with these bytes.
    pub(super) fn new(position: u64, head: &Head, bytes: &[u8]) -> Self {
        let table = bytes[ENTRY_HEADER_BYTES..].chunks_exact(ROW_BYTES);
        let row_positions = (ENTRY_HEADER_BYTES as u64..).step_by(ROW_BYTES);
        let places = table.zip(row_positions).zip(head.batch_positions());
        let place = |(row, ((raw, row_at), batch_at)): (&crate::entry::Row, _)| {
            let Envelope { base_offset, last_delta, bytes, .. } = row.envelope;
            PlacedAppend {
                partition: row.partition,
                base: base_offset,
                last_delta,
                row_at,
                row_crc: crc32c::crc32c(raw),
                batch_at: batch_at as u64,
                bytes,
            }
        };
        Self {
            newest: Newest {
                csn: head.header.csn,
                entry_crc: head.entry_crc,
                time: head.header.time,
            },
            position,
            length: head.header.length,
            appends: head.rows.iter().zip(places).map(place).collect(),
        }
    }

    /// Shows readers the commit, at `position` of a file.
    pub(super) fn show(&self, visible: &Visible, file: FileId, position: u64) -> Result<(), Error> {
        for append in &self.appends {
            let partition = visible.partition_or_new(append.partition);
            if append.base < partition.end() {
                let what = format!(
                    "{} ends at offset {}, but a batch begins at {}",
                    append.partition,
                    partition.end(),
                    append.base
                );
                return Err(Error::corrupt(&visible.files.path(file), position, what));
            }
            partition.push_place(BatchPlace {
                base: append.base,
                last_delta: append.last_delta,
                file,
                row_at: position_in_index(position + append.row_at),
                row_crc: append.row_crc,
                batch_at: position_in_index(position + append.batch_at),
                bytes: append.bytes,
            });
        }
        Ok(())
    }
}
