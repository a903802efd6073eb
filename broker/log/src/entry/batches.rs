//! The batches of an entry, which come behind its header and table one after the other.

use bytes::Bytes;
use logmill_model::RecordBatch;

use super::{Head, Row, entry_bytes};
use crate::{LostRange, StoredBatch};

type Checked = Result<RecordBatch, logmill_model::Error>;

impl Head {
    /// Where each batch begins in the entry.
    pub(crate) fn batch_positions(&self) -> impl Iterator<Item = usize> + '_ {
        let mut at = self.header.head_bytes();
        self.rows.iter().map(move |row| {
            let begin = at;
            at += row.envelope.bytes as usize;
            begin
        })
    }

    /// Each batch of the entry, checked.
    pub(crate) fn checked(&self, entry: &Bytes) -> impl Iterator<Item = (&Row, Checked)> {
        self.rows.iter().zip(self.batch_positions()).map(|(row, at)| {
            let end = (at + row.envelope.bytes as usize).min(entry.len());
            (row, row.envelope.check_batch(entry.slice(at.min(end)..end)))
        })
    }

    /// The offsets of those batches of the entry that are not what was written.
    pub(crate) fn bad_batches(&self, entry: &Bytes) -> Vec<LostRange> {
        let bad = |(row, batch): (&Row, Checked)| batch.is_err().then(|| row.offsets());
        self.checked(entry).filter_map(bad).collect()
    }

    /// Reads the batches of the entry, whose bytes are all of `entry`; shares them.
    pub(crate) fn batches(&self, entry: &Bytes) -> Result<Vec<StoredBatch>, String> {
        let batch_bytes: usize = self.rows.iter().map(|row| row.envelope.bytes as usize).sum();
        // Of a coverage entry, whose table has no rows of batches, as of all others.
        if entry_bytes(self.header.appends as usize, batch_bytes) != entry.len() {
            return Err("the lengths of its batches are not those of the entry".to_owned());
        }
        if entry[self.header.head_bytes() + batch_bytes..].iter().any(|byte| *byte != 0) {
            return Err("its padding is not zero".to_owned());
        }
        let stored = |(row, batch): (&Row, Checked)| {
            let (Row { partition, envelope }, batch) = (*row, batch.map_err(|it| it.to_string())?);
            Ok(StoredBatch { partition, envelope, batch })
        };
        self.checked(entry).map(stored).collect()
    }
}
