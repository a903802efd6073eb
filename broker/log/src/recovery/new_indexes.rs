//! Indexes that were missing or bad, kept until the start is certain to succeed: a refusal changes
//! nothing on disk.

use crate::index_file;
use crate::storage::Storage;

/// How much of them is kept, in bytes. What is beyond is made again when it is read, or at the next
/// start.
const KEEP_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Default)]
pub(super) struct NewIndexes {
    /// By the path of the file that it is of.
    indexes: Vec<(String, Vec<u8>)>,
    bytes: usize,
}

impl NewIndexes {
    pub(super) fn push(&mut self, path: &str, index: Vec<u8>) {
        if self.bytes + index.len() <= KEEP_BYTES_MAX {
            self.bytes += index.len();
            self.indexes.push((path.to_owned(), index));
        }
    }

    /// Writes them. The files must be sealed, durably.
    pub(super) fn write(&self, storage: &dyn Storage) {
        for (path, index) in &self.indexes {
            index_file::write(storage, path, index);
        }
    }
}
