//! Reads batches from journal files and checks every byte that it hands out.

use bytes::{Bytes, BytesMut};
use logmill_model::PartitionId;

use crate::entry::{ROW_BYTES, Row};
use crate::files::{FileId, Files};
use crate::layout::array_at;
use crate::partition::BatchPlace;
use crate::storage::StorageFile;
use crate::{Error, StoredBatch};

/// Bytes between two pieces that are read along rather than skipped.
const GAP_BYTES_MAX: u64 = 4096;
/// The most that one read takes when it joins pieces.
const RUN_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Reads these batches, which lie in the order of the journal.
pub(crate) fn read(
    files: &Files,
    partition: PartitionId,
    places: &[BatchPlace],
) -> Result<Vec<StoredBatch>, Error> {
    let mut batches = Vec::with_capacity(places.len());
    for places in places.chunk_by(|a, b| a.file == b.file) {
        let Some(file) = places.first().map(|place| place.file) else { continue };
        let pieces = Pieces::read(files, file, places)?;
        for place in places {
            let batch = pieces
                .batch(partition, place)
                .map_err(|what| Error::corrupt(&files.path(file), u64::from(place.row_at), what))?;
            batches.push(batch);
        }
    }
    Ok(batches)
}

/// Parts of one file, each with the position it begins at, in order.
struct Pieces(Vec<(u64, Bytes)>);

impl Pieces {
    fn read(files: &Files, id: FileId, places: &[BatchPlace]) -> Result<Self, Error> {
        let mut wanted: Vec<(u64, u64)> = Vec::with_capacity(2 * places.len());
        for place in places {
            let (row, batch) = (u64::from(place.row_at), u64::from(place.batch_at));
            wanted.push((row, row + ROW_BYTES as u64));
            wanted.push((batch, batch + u64::from(place.bytes)));
        }
        wanted.sort_unstable();
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (begin, end) in wanted {
            match runs.last_mut() {
                Some(run) if begin <= run.1 + GAP_BYTES_MAX && end - run.0 <= RUN_BYTES_MAX => {
                    run.1 = run.1.max(end);
                }
                _ => runs.push((begin, end)),
            }
        }
        let file = files.get(id)?;
        let read = |(begin, end)| {
            let bytes = read_run(&*file, begin, end)
                .map_err(|error| Error::io("read", &files.path(id), error))?;
            Ok((begin, bytes))
        };
        Ok(Self(runs.into_iter().map(read).collect::<Result<_, Error>>()?))
    }

    /// The bytes of a piece that was asked for, or fewer where the file ends early.
    fn slice(&self, begin: u32, length: usize) -> Option<Bytes> {
        let begin = u64::from(begin);
        let at = self.0.partition_point(|(start, _)| *start <= begin).checked_sub(1)?;
        let (start, bytes) = self.0.get(at)?;
        let from = usize::try_from(begin - start).ok()?;
        (from + length <= bytes.len()).then(|| bytes.slice(from..from + length))
    }

    fn batch(&self, partition: PartitionId, place: &BatchPlace) -> Result<StoredBatch, String> {
        let ends_early = || "the file ends before it should".to_owned();
        let row = self.slice(place.row_at, ROW_BYTES).ok_or_else(ends_early)?;
        if crc32c::crc32c(&row) != place.row_crc {
            return Err("the checksum of an append is wrong".to_owned());
        }
        let Row { partition: found, envelope } = Row::decode(&array_at(&row, 0))?;
        if found != partition || envelope.base_offset != place.base {
            return Err("another batch lies there".to_owned());
        }
        let bytes = self.slice(place.batch_at, place.bytes as usize).ok_or_else(ends_early)?;
        let batch = envelope.check_batch(bytes).map_err(|error| error.to_string())?;
        Ok(StoredBatch { partition, envelope, batch })
    }
}

fn read_run(file: &dyn StorageFile, begin: u64, end: u64) -> std::io::Result<Bytes> {
    let length = usize::try_from(end - begin).expect("a run is a few MiB");
    let mut buffer = BytesMut::zeroed(length);
    let filled = file.read_at(&mut buffer, begin)?;
    buffer.truncate(filled);
    Ok(buffer.freeze())
}
