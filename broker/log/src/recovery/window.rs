//! A file read from front to back in large pieces.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::Error;
use crate::storage::StorageFile;

/// What one read takes: the batches of recovered entries share buffers of this size.
const CHUNK_BYTES: usize = 1024 * 1024;

pub(super) struct Window {
    path: String,
    file: Arc<dyn StorageFile>,
    chunk: Bytes,
    chunk_at: u64,
}

impl Window {
    pub(super) fn new(path: &str, file: &Arc<dyn StorageFile>) -> Self {
        let (path, file) = (path.to_owned(), Arc::clone(file));
        Self { path, file, chunk: Bytes::new(), chunk_at: 0 }
    }

    /// What the file holds from `position` on: at least `length` bytes, unless it ends before.
    pub(super) fn at(&mut self, position: u64, length: usize) -> Result<Bytes, Error> {
        let skip = position
            .checked_sub(self.chunk_at)
            .and_then(|skip| usize::try_from(skip).ok())
            .filter(|skip| skip + length <= self.chunk.len());
        if let Some(skip) = skip {
            return Ok(self.chunk.slice(skip..));
        }
        let failed = |error| Error::io("read", &self.path, error);
        let rest = self.file.bytes().map_err(failed)?.saturating_sub(position);
        let rest = usize::try_from(rest).unwrap_or(usize::MAX);
        let mut buffer = BytesMut::zeroed(length.max(CHUNK_BYTES).min(rest));
        let filled = self.file.read_at(&mut buffer, position).map_err(failed)?;
        buffer.truncate(filled);
        self.chunk = buffer.freeze();
        self.chunk_at = position;
        Ok(self.chunk.clone())
    }

    /// Where what follows `position` is zeros to the file's end.
    pub(super) fn zeros_from(&mut self, position: u64) -> Result<u64, Error> {
        let mut zeros_from = position;
        let mut at = position;
        loop {
            let bytes = self.at(at, CHUNK_BYTES)?;
            if bytes.is_empty() {
                return Ok(zeros_from);
            }
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                zeros_from = at + last as u64 + 1;
            }
            at += bytes.len() as u64;
        }
    }
}
