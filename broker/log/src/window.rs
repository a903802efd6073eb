//! A file read from front to back in large pieces.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::Error;
use crate::entry::{DecodedHead, ENTRY_HEADER_BYTES, Head};
use crate::file_header::Salt;
use crate::storage::StorageFile;

/// What one read takes of a file that is read whole, in bytes: the batches of recovered entries
/// share buffers of this size.
pub(crate) const CHUNK_BYTES: usize = 1024 * 1024;

pub(crate) struct Window {
    path: String,
    file: Arc<dyn StorageFile>,
    chunk: Bytes,
    chunk_at: u64,
    chunk_bytes: usize,
    /// Where reads end; `None` for the end of the file.
    end: Option<u64>,
}

impl Window {
    /// All of the file.
    pub(crate) fn new(path: &str, file: Arc<dyn StorageFile>) -> Self {
        let (path, chunk) = (path.to_owned(), Bytes::new());
        Self { path, file, chunk, chunk_at: 0, chunk_bytes: CHUNK_BYTES, end: None }
    }

    /// The file, in reads of so many bytes, and larger ones where that is needed.
    pub(crate) fn in_reads_of(self, bytes: usize) -> Self {
        Self { chunk_bytes: bytes, ..self }
    }

    /// What lies from `end` on is not wanted.
    pub(crate) fn read_ahead_to(&mut self, end: u64) {
        self.end = Some(end);
    }

    /// What the file holds from `position` on: at least `length` bytes, unless it ends before.
    pub(crate) fn at(&mut self, position: u64, length: usize) -> Result<Bytes, Error> {
        let skip = position
            .checked_sub(self.chunk_at)
            .and_then(|skip| usize::try_from(skip).ok())
            .filter(|skip| skip + length <= self.chunk.len());
        if let Some(skip) = skip {
            return Ok(self.chunk.slice(skip..));
        }
        let failed = |error| Error::io("read", &self.path, error);
        let ahead = match self.end {
            Some(end) => end.saturating_sub(position),
            None => self.file.bytes().map_err(failed)?.saturating_sub(position),
        };
        let ahead = usize::try_from(ahead).unwrap_or(usize::MAX);
        let mut buffer = BytesMut::zeroed(length.max(self.chunk_bytes).min(ahead));
        let filled = self.file.read_at(&mut buffer, position).map_err(failed)?;
        buffer.truncate(filled);
        self.chunk = buffer.freeze();
        self.chunk_at = position;
        Ok(self.chunk.clone())
    }

    /// Header and table of the entry at `position` of a file with this salt; else why there is none.
    pub(crate) fn head(
        &mut self,
        position: u64,
        salt: Salt,
    ) -> Result<Result<Head, &'static str>, Error> {
        let mut needs = ENTRY_HEADER_BYTES;
        loop {
            let bytes = self.at(position, needs)?;
            match Head::decode(&bytes, salt) {
                DecodedHead::Head(head) => return Ok(Ok(head)),
                DecodedHead::Bad(what) => return Ok(Err(what)),
                DecodedHead::Needs(_) if bytes.len() < needs => {
                    return Ok(Err("the file ends within the entry"));
                }
                DecodedHead::Needs(more) => needs = more,
            }
        }
    }

    /// Where what is written in the file ends, and zeros follow to its end. Reads from the back.
    pub(crate) fn zeros_from_end(&mut self) -> Result<u64, Error> {
        let failed = |error| Error::io("read", &self.path, error);
        let mut end = self.file.bytes().map_err(failed)?;
        while end > 0 {
            let begin = end.saturating_sub(CHUNK_BYTES as u64);
            let bytes = self.at(begin, usize::try_from(end - begin).unwrap_or(CHUNK_BYTES))?;
            let length = bytes.len().min(usize::try_from(end - begin).unwrap_or(CHUNK_BYTES));
            if let Some(last) = bytes[..length].iter().rposition(|byte| *byte != 0) {
                return Ok(begin + last as u64 + 1);
            }
            end = begin;
        }
        Ok(0)
    }

    /// Where what follows `position` is zeros to the file's end.
    pub(crate) fn zeros_from(&mut self, position: u64) -> Result<u64, Error> {
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
