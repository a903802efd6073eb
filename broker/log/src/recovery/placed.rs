//! A recovered commit and where it lies, so that it can be shown there, or where it is copied to.

use crate::LostRange;
use crate::active_file::Newest;
use crate::entry::{Head, Row};
use crate::index::{EntryPlace, IndexBuilder};

pub(super) struct Placed {
    pub(super) newest: Newest,
    pub(super) position: u64,
    pub(super) length: u32,
    pub(super) rows: Vec<Row>,
}

impl Placed {
    /// The commit of this head, which lies at `position`.
    pub(super) fn new(position: u64, head: Head) -> Self {
        let Head { header, entry_crc, rows, .. } = head;
        let newest = Newest { csn: header.csn, entry_crc, time: header.time };
        Self { newest, position, length: header.length, rows }
    }

    /// Adds its batches to the index of its file, and hands out what is missing between them and
    /// those before; fails when one begins below the end of another.
    pub(super) fn index(&self, index: &mut IndexBuilder) -> Result<Vec<LostRange>, String> {
        let place = EntryPlace::new(self.position, self.length);
        let mut missing = Vec::new();
        for Row { partition, envelope } in &self.rows {
            let (base, partition) = (envelope.base_offset, *partition);
            let end = index.partition(partition).map_or(base, |it| it.end);
            if base < end {
                return Err(format!(
                    "{partition} ends at offset {end}, but a batch begins at {base}"
                ));
            }
            if base > end {
                missing.push(LostRange { partition, from: end, to: base });
            }
            index.add(partition, place, envelope);
        }
        Ok(missing)
    }
}
