//! Index files on the storage. **Nothing here fails**: an index that can't be read is made anew, and
//! one that can't be written is not there.

use std::io::{self, IoSlice};

use logmill_model::Csn;

use crate::entry::{ENTRY_HEADER_BYTES, EntryHeader, Kind};
use crate::file_header::FileHeader;
use crate::file_name::{FileName, INDEX_SUFFIX, SUFFIX, file_name, index_path};
use crate::index::{
    Point, PointsPlace, SUMMARY_HEADER_BYTES, Summary, decode_points, decode_summary, summary_bytes,
};
use crate::storage::{Storage, StorageFile};

/// The summary of the sealed file at `path`; `None` unless it is whole, and of this very file: the
/// file must have the salt, the length and the seal that the summary says.
pub(crate) fn read_summary(
    storage: &dyn Storage,
    path: &str,
    header: &FileHeader,
    file: &dyn StorageFile,
) -> Option<Summary> {
    let summary = read_claim(storage, path, header)?;
    let is_of_file = file.bytes().ok()? == summary.seal.end && has_seal(file, header, &summary)?;
    is_of_file.then_some(summary)
}

/// What the index of the file at `path` says that the file had when it was sealed, whatever it has
/// now.
pub(crate) fn read_claim(
    storage: &dyn Storage,
    path: &str,
    header: &FileHeader,
) -> Option<Summary> {
    let summary = read_whole(storage, &index_path(path))?;
    ((summary.salt, summary.first) == (header.salt, header.first)).then_some(summary)
}

/// The last commit of the journal file that the index at `path` is of, which is not there.
pub(crate) fn claimed_csn(storage: &dyn Storage, path: &str) -> Option<Csn> {
    let stem = file_name(path).strip_suffix(INDEX_SUFFIX)?;
    let name: FileName = format!("{stem}{SUFFIX}").parse().ok()?;
    let summary = read_whole(storage, path)?;
    (summary.first == name.first).then_some(summary.seal.newest.csn)
}

/// The summary in the index at `path`, if it is as it was written.
fn read_whole(storage: &dyn Storage, path: &str) -> Option<Summary> {
    let index = storage.open(path).ok()?;
    let mut begin = [0; SUMMARY_HEADER_BYTES];
    read_exactly(&*index, &mut begin, 0)?;
    let index_bytes = index.bytes().ok()?;
    let length = summary_bytes(&begin).filter(|length| *length <= index_bytes)?;
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    read_exactly(&*index, &mut bytes, 0)?;
    decode_summary(&bytes).filter(|summary| summary.index_bytes() == index_bytes)
}

/// Whether the file ends with the seal that the summary says.
fn has_seal(
    file: &dyn StorageFile,
    header: &FileHeader,
    Summary { seal, .. }: &Summary,
) -> Option<bool> {
    let mut bytes = [0; ENTRY_HEADER_BYTES];
    read_exactly(file, &mut bytes, seal.end.checked_sub(ENTRY_HEADER_BYTES as u64)?)?;
    let (mark, _) = EntryHeader::decode(&bytes, header.salt).ok()?;
    let newest = &seal.newest;
    Some(
        mark.kind == Kind::Seal(seal.reason)
            && (mark.csn, mark.prev_crc, mark.time) == (newest.csn, newest.entry_crc, newest.time),
    )
}

/// Points of the sealed file at `path`; `None` unless they are those that were written.
pub(crate) fn read_points(
    storage: &dyn Storage,
    path: &str,
    place: PointsPlace,
) -> Option<Vec<Point>> {
    let index = storage.open(&index_path(path)).ok()?;
    let end = u64::from(place.position) + place.bytes() as u64;
    if end > index.bytes().ok()? {
        return None;
    }
    let mut bytes = vec![0; place.bytes()];
    read_exactly(&*index, &mut bytes, u64::from(place.position))?;
    decode_points(&bytes, place)
}

fn read_exactly(file: &dyn StorageFile, buffer: &mut [u8], position: u64) -> Option<()> {
    let filled = file.read_at(buffer, position).ok()?;
    (filled == buffer.len()).then_some(())
}

/// The first place in the index of the file at `path` that is not what was written; None when all
/// of it is, or there is none, or it is that of a file with a hole.
pub(crate) fn first_bad(
    storage: &dyn Storage,
    path: &str,
    header: &FileHeader,
    file: &dyn StorageFile,
) -> Option<u64> {
    let index = storage.open(&index_path(path)).ok()?;
    let mut begin = [0; SUMMARY_HEADER_BYTES];
    if read_exactly(&*index, &mut begin, 0).is_some() && begin.iter().all(|byte| *byte == 0) {
        return None;
    }
    let Some(summary) = read_summary(storage, path, header, file) else { return Some(0) };
    let places = summary.partitions.iter().map(|row| row.points);
    let bad = places.into_iter().find(|place| read_points(storage, path, *place).is_none());
    bad.map(|place| u64::from(place.position))
}

/// Takes the summary out of the index of a file with a hole: its points are of use, and each start
/// shall read the file itself and find the hole again.
pub(crate) fn hide_summary(index: &mut [u8]) {
    index[..SUMMARY_HEADER_BYTES].fill(0);
}

/// Writes the index of the sealed file at `path`, or logs why it can't; tells whether it did. It is not
/// synced.
pub(crate) fn write(storage: &dyn Storage, path: &str, bytes: &[u8]) -> bool {
    let path = index_path(path);
    match try_write(storage, &path, bytes) {
        Ok(()) => true,
        // Whoever only looks changes nothing.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => false,
        Err(error) => {
            // What there is of it would only be read in vain.
            let _ = storage.remove(&path);
            tracing::warn!(path, %error, "an index can't be written; the next start will make it");
            false
        }
    }
}

fn try_write(storage: &dyn Storage, path: &str, bytes: &[u8]) -> io::Result<()> {
    let file = match storage.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            storage.remove(path)?;
            storage.create(path)?
        }
        other => other?,
    };
    file.write_at(&[IoSlice::new(bytes)], 0)
}

/// Removes the index of the file at `path`, if there is one.
pub(crate) fn remove(storage: &dyn Storage, path: &str) {
    // One that stays behind belongs to no file, and the next start removes it.
    let _ = storage.remove(&index_path(path));
}
