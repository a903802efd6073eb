//! The bytes of a group of entries, for one write.
//!
//! Small pieces are gathered in one buffer, since a system call pays for each piece; a batch that
//! is large enough to be worth it is written from where it lies.

use std::io::IoSlice;
use std::ops::Range;

use bytes::Bytes;

/// Batches up to this size are copied into the buffer.
const COPY_BYTES_MAX: usize = 4096;
/// The buffer keeps no more than this between groups.
const KEEP_BYTES_MAX: usize = 4 * 1024 * 1024;

enum Piece {
    Gathered(Range<usize>),
    Batch(Bytes),
}

#[derive(Default)]
pub(crate) struct Group {
    gathered: Vec<u8>,
    pieces: Vec<Piece>,
    bytes: u64,
}

impl Group {
    pub(crate) fn clear(&mut self) {
        self.gathered.clear();
        self.gathered.shrink_to(KEEP_BYTES_MAX);
        self.pieces.clear();
        self.bytes = 0;
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn gather(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let begin = self.gathered.len();
        self.gathered.extend_from_slice(bytes);
        self.bytes += bytes.len() as u64;
        match self.pieces.last_mut() {
            Some(Piece::Gathered(range)) => range.end = self.gathered.len(),
            _ => self.pieces.push(Piece::Gathered(begin..self.gathered.len())),
        }
    }

    pub(crate) fn push_batch(&mut self, batch: &Bytes) {
        if batch.len() <= COPY_BYTES_MAX {
            self.gather(batch);
        } else {
            self.bytes += batch.len() as u64;
            self.pieces.push(Piece::Batch(batch.clone()));
        }
    }

    pub(crate) fn slices(&self) -> Vec<IoSlice<'_>> {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Gathered(range) => IoSlice::new(&self.gathered[range.clone()]),
                Piece::Batch(batch) => IoSlice::new(batch),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_one_slice_and_a_large_batch_is_not_copied() {
        let large = Bytes::from(vec![7; COPY_BYTES_MAX + 1]);
        let mut group = Group::default();
        group.gather(b"head");
        group.push_batch(&Bytes::from_static(b"small"));
        group.push_batch(&large);
        group.gather(&[]);
        group.gather(b"next");
        let slices = group.slices();
        assert_eq!(slices.len(), 3);
        assert_eq!(&*slices[0], b"headsmall");
        assert_eq!(slices[1].as_ptr(), large.as_ptr());
        assert_eq!(&*slices[2], b"next");
        assert_eq!(group.bytes(), 13 + large.len() as u64);
        group.clear();
        assert_eq!((group.slices().len(), group.bytes()), (0, 0));
    }
}
