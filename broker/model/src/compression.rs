//! How the records of a batch are compressed.
//!
//! | code | name | what follows the batch's header |
//! |---:|---|---|
//! | 0 | none | the records |
//! | 1 | lz4 | one LZ4 block ([block format]), without a frame and without a length before it |
//! | 2 | zstd | one Zstandard frame ([RFC 8878]), without a dictionary and nothing behind it |
//!
//! Neither says how long its records are where it must be believed: the batch's header does, within
//! a bound, and **decompression never takes more memory than that**. A stream that gives less or
//! more than its header says is an error.
//!
//! [block format]: https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
//! [RFC 8878]: https://www.rfc-editor.org/rfc/rfc8878

use std::io;
use std::sync::{Mutex, PoisonError};

use zstd::bulk::{Compressor, Decompressor};

/// What zstd itself takes for the best of speed and size.
const ZSTD_LEVEL: i32 = 3;
/// Contexts of a kind that wait for their next use: 100 KiB each to decompress, about 1.5 MiB to
/// compress.
const IDLE_CONTEXTS_MAX: usize = 4;

static COMPRESSORS: Contexts<Compressor<'static>> = Contexts(Mutex::new(Vec::new()));
static DECOMPRESSORS: Contexts<Decompressor<'static>> = Contexts(Mutex::new(Vec::new()));

/// Contexts of zstd, to be used again: making one takes 50 µs, and a small batch 2 µs. Each use
/// begins anew, also after one that failed.
struct Contexts<T>(Mutex<Vec<T>>);

impl<T> Contexts<T> {
    fn with<R>(
        &self,
        make: impl FnOnce() -> io::Result<T>,
        work: impl FnOnce(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        let idle = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let mut context = match kept {
            Some(context) => context,
            None => make()?,
        };
        let result = work(&mut context);
        let mut idle = idle();
        if idle.len() < IDLE_CONTEXTS_MAX {
            idle.push(context);
        }
        result
    }
}

/// How a batch's records are compressed. Codes are those of the batch layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not compressed.
    #[default]
    None,
    /// LZ4: fast.
    Lz4,
    /// Zstandard: small.
    Zstd,
}

impl Compression {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Lz4 => 1,
            Self::Zstd => 2,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::None),
            1 => Some(Self::Lz4),
            2 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The bytes compressed; None when that would not make them fewer.
    pub(crate) fn compress(self, bytes: &[u8]) -> Option<Vec<u8>> {
        let compressed = match self {
            Self::None => return None,
            Self::Lz4 => lz4_flex::block::compress(bytes),
            Self::Zstd => {
                let mut room = vec![0; bytes.len()];
                // An error says that the room is not enough.
                let length = COMPRESSORS
                    .with(
                        || Compressor::new(ZSTD_LEVEL),
                        |it| it.compress_to_buffer(bytes, &mut room[..]),
                    )
                    .ok()?;
                room.truncate(length);
                room
            }
        };
        (compressed.len() < bytes.len()).then_some(compressed)
    }

    /// The `length` bytes that these are the compressed form of; None when they are not that of
    /// exactly so many. Takes memory for `length` bytes, whatever the compressed ones say.
    pub(crate) fn decompress(self, bytes: &[u8], length: usize) -> Option<Vec<u8>> {
        let mut room = vec![0; length];
        let actual = match self {
            Self::None => return None,
            Self::Lz4 => lz4_flex::block::decompress_into(bytes, &mut room).ok()?,
            Self::Zstd => {
                // The decoder takes several frames for one: a batch has one way to be written.
                let frame = zstd::zstd_safe::find_frame_compressed_size(bytes).ok()?;
                if frame != bytes.len() {
                    return None;
                }
                DECOMPRESSORS
                    .with(Decompressor::new, |it| it.decompress_to_buffer(bytes, &mut room[..]))
                    .ok()?
            }
        };
        (actual == length).then_some(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Compression; 2] = [Compression::Lz4, Compression::Zstd];
    const RLE_BLOCK_BYTES: u32 = 128 << 10;

    /// A block of zeros that says it goes on for ever: a literal, then a match of 255 bytes for
    /// each byte of it.
    fn lz4_bomb() -> Vec<u8> {
        let mut bomb = vec![0x1f, 0, 1, 0];
        bomb.resize(1 << 16, 0xff);
        bomb.extend([0, 0x50, 0, 0, 0, 0, 0]);
        bomb
    }

    /// A frame of 1 GiB of zeros, in blocks of one repeated byte.
    fn zstd_bomb() -> Vec<u8> {
        let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
        for block in 1..=8192 {
            let last = u32::from(block == 8192);
            bomb.extend_from_slice(&(RLE_BLOCK_BYTES << 3 | 1 << 1 | last).to_le_bytes()[..3]);
            bomb.push(0);
        }
        bomb
    }

    #[test]
    fn what_is_compressed_comes_back() {
        let bytes = b"to be or not to be, ".repeat(50);
        for compression in BOTH {
            let compressed = compression.compress(&bytes).unwrap();
            assert!(compressed.len() < bytes.len() / 4);
            assert_eq!(compression.decompress(&compressed, bytes.len()).unwrap(), bytes);
            assert_eq!(compression.compress(b"short"), None, "it would grow");
        }
    }

    #[test]
    fn a_length_that_lies_is_refused() {
        let bytes = b"to be or not to be, ".repeat(50);
        for compression in BOTH {
            let compressed = compression.compress(&bytes).unwrap();
            for length in [0, 1, bytes.len() - 1, bytes.len() + 1, 2 << 20] {
                assert_eq!(compression.decompress(&compressed, length), None, "{length}");
            }
        }
    }

    #[test]
    fn a_bomb_is_refused_when_the_room_is_full() {
        for (compression, bomb) in
            [(Compression::Lz4, lz4_bomb()), (Compression::Zstd, zstd_bomb())]
        {
            assert_eq!(compression.decompress(&bomb, 1000), None);
            assert_eq!(compression.decompress(&bomb, 2 << 20), None);
        }
        // They are what they are meant to be: with room enough they go off.
        let (lz4, zstd) = (lz4_bomb(), zstd_bomb());
        let length = 255 * ((1 << 16) - 4) + 1 + 4 + 15 + 5;
        assert!(Compression::Lz4.decompress(&lz4, length).is_some());
        let small = &zstd[..6 + 4 * 10];
        let mut ten_blocks = small.to_vec();
        ten_blocks[6 + 4 * 9] |= 1;
        assert!(Compression::Zstd.decompress(&ten_blocks, 10 << 17).is_some());
    }

    #[test]
    fn a_failure_does_not_spoil_what_comes_next() {
        let bytes = b"to be or not to be, ".repeat(50);
        let compressed = Compression::Zstd.compress(&bytes).unwrap();
        for cut in 0..compressed.len() {
            assert_eq!(Compression::Zstd.decompress(&compressed[..cut], bytes.len()), None);
            assert_eq!(Compression::Zstd.compress(&[7]), None);
            assert_eq!(Compression::Zstd.compress(&bytes), Some(compressed.clone()));
            assert_eq!(Compression::Zstd.decompress(&compressed, bytes.len()), Some(bytes.clone()));
        }
    }

    #[test]
    fn a_second_frame_and_one_to_be_skipped_are_refused() {
        let bytes = b"to be or not to be, ".repeat(50);
        let frame = Compression::Zstd.compress(&bytes).unwrap();
        let skipped = [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9];
        let decompress =
            |bytes: Vec<u8>, length| Compression::Zstd.decompress(&bytes, length).is_some();
        assert!(decompress(frame.clone(), bytes.len()));
        assert!(!decompress([&frame[..], &frame].concat(), bytes.len() * 2));
        assert!(!decompress([&frame[..], &skipped].concat(), bytes.len()));
        assert!(!decompress([&skipped[..], &frame].concat(), bytes.len()));
        assert!(!decompress([&frame[..], &[0]].concat(), bytes.len()));
    }
}
