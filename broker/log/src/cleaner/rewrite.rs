//! Makes one segment of a run of files: what is needed of each partition, in its order, with the
//! envelopes that it had.
//!
//! Partitions go in groups, as many as fit a buffer: their batches are gathered in one pass over
//! the parts of the files that have any, and written partition by partition. A partition that is
//! larger than the buffer goes alone and is not buffered, since its batches come in order. So
//! memory is bounded, and no file is read more often than the run has buffers full.

use std::collections::HashMap;
use std::sync::Arc;

use logmill_model::{Envelope, PartitionId, RecordBatch};

use super::Throttle;
use super::compact::{Horizon, Known, note_keys};
use super::keys::KeyMap;
use super::part::{Order, Part, places};
use super::segment::{Origin, SegmentWriter, Written};
use super::walk::Walk;
use crate::index::Summary;
use crate::log_file::LogFile;
use crate::visible::Visible;
use crate::{Error, StoredBatch, index_file};

/// How much of a group of partitions is gathered, in bytes.
const GROUP_BYTES: u64 = 16 * 1024 * 1024;

/// What is to be done.
#[derive(Debug)]
pub(super) struct Rewrite {
    pub(super) visible: Arc<Visible>,
    pub(super) origin: Origin,
    /// Sealed, in the order of their entries; at least one.
    pub(super) files: Vec<Arc<LogFile>>,
    /// By partition, rising.
    pub(super) parts: Vec<Part>,
    pub(super) horizon: Horizon,
    pub(super) keys_bytes_max: usize,
    /// Keys of which newer values are known to lie elsewhere.
    pub(super) elsewhere: Option<Arc<KeyMap>>,
}

/// What was done.
#[derive(Debug)]
pub(super) struct Rewritten {
    pub(super) old: Vec<Arc<LogFile>>,
    pub(super) new: Arc<LogFile>,
    pub(super) summary: Summary,
    /// Those of which the old files had anything that was needed.
    pub(super) partitions: Vec<PartitionId>,
}

impl Rewrite {
    /// Writes the segment. What a failure leaves of it is removed.
    pub(super) fn run(self, throttle: &Throttle) -> Result<Rewritten, Error> {
        let visible = Arc::clone(&self.visible);
        let storage = visible.files.storage();
        let path = self.origin.name.path();
        let written =
            SegmentWriter::create(storage, self.origin, throttle).and_then(|mut writer| {
                self.copy(&mut writer, throttle)?;
                let coverage: Vec<_> = self.parts.iter().filter_map(Part::coverage).collect();
                writer.finish(&coverage)
            });
        match written {
            Ok(written) => Ok(self.rewritten(written)),
            Err(error) => {
                // One that can't be removed now is garbage that the next start removes.
                let _ = storage.remove(&path);
                Err(error)
            }
        }
    }

    fn rewritten(self, written: Written) -> Rewritten {
        let Written { path, header, seal, index } = written;
        let files = &self.visible.files;
        let (summary, bytes) = index.finish(header.salt, header.first, seal);
        index_file::write(files.storage(), &path, &bytes);
        let new = files.add(&path, header);
        new.set_seal(seal);
        self.visible.sealed.add_pending(&new);
        let partitions = self.parts.iter().map(|part| part.partition).collect();
        Rewritten { old: self.files, new, summary, partitions }
    }

    fn copy(&self, writer: &mut SegmentWriter<'_>, throttle: &Throttle) -> Result<(), Error> {
        let mut rest = &self.parts[..];
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |part: &&Part| {
                bytes += part.bytes();
                bytes <= GROUP_BYTES
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (parts, others) = rest.split_at(count);
            Group { rewrite: self, parts, throttle }.copy(writer)?;
            rest = others;
        }
        Ok(())
    }
}

/// Partitions that are copied together.
struct Group<'a> {
    rewrite: &'a Rewrite,
    /// By partition, rising.
    parts: &'a [Part],
    throttle: &'a Throttle,
}

impl Group<'_> {
    fn copy(&self, writer: &mut SegmentWriter<'_>) -> Result<(), Error> {
        let here = self.keys()?;
        let mut gathered: Vec<Vec<StoredBatch>> = vec![Vec::new(); self.parts.len()];
        self.visit(&|_| true, &mut |at, envelope, batch| {
            let Some(kept) = self.kept(&here, at, envelope, batch) else { return Ok(()) };
            if self.parts.len() == 1 {
                return writer.push(&kept);
            }
            gathered[at].push(StoredBatch { batch: kept.batch.unshared(), ..kept });
            Ok(())
        })?;
        gathered.iter().flatten().try_for_each(|batch| writer.push(batch))
    }

    /// What stays of a batch.
    fn kept(
        &self,
        here: &KeyMap,
        at: usize,
        envelope: &Envelope,
        batch: RecordBatch,
    ) -> Option<StoredBatch> {
        let part = &self.parts[at];
        let (partition, envelope) = (part.partition, *envelope);
        if !part.compacted {
            return Some(StoredBatch { partition, envelope, batch });
        }
        let known = Known {
            partition,
            here,
            elsewhere: self.rewrite.elsewhere.as_deref(),
            from_first: part.from_first,
            horizon: self.rewrite.horizon,
        };
        known.compact(envelope, batch)
    }

    /// The keys of the compacted partitions.
    fn keys(&self) -> Result<KeyMap, Error> {
        let mut keys = KeyMap::new(self.rewrite.keys_bytes_max);
        self.visit(&|part| part.compacted, &mut |at, envelope, batch| {
            note_keys(&mut keys, self.parts[at].partition, envelope.base_offset, &batch);
            Ok(())
        })?;
        Ok(keys)
    }

    /// Reads the batches of some of the partitions: file by file, in the order of the file.
    fn visit(
        &self,
        wanted: &dyn Fn(&Part) -> bool,
        visit: &mut dyn FnMut(usize, &Envelope, RecordBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let files = &self.rewrite.visible.files;
        let chosen: HashMap<PartitionId, usize> = (0..self.parts.len())
            .filter(|at| wanted(&self.parts[*at]))
            .map(|at| (self.parts[at].partition, at))
            .collect();
        let mut orders: Vec<Order<'_>> = self.parts.iter().map(Order::of).collect();
        for file in &self.rewrite.files {
            let parts = self.parts.iter().filter(|part| wanted(part));
            let parts = parts.map(|part| (part, part.start));
            let places = places(files, file, parts)?;
            let walk = Walk { files, file, throttle: self.throttle };
            walk.visit(
                &places,
                &|partition| chosen.contains_key(&partition),
                &mut |row, batch| {
                    let at = chosen[&row.partition];
                    // Others lie around what is needed of their neighbours.
                    if row.envelope.end_offset() <= self.parts[at].start {
                        return Ok(());
                    }
                    let in_order = orders[at].next(file, &row.envelope);
                    in_order.map_err(|what| walk.corrupt(0, what))?;
                    visit(at, &row.envelope, batch)
                },
            )?;
            let ends = chosen.values().try_for_each(|at| orders[*at].end(file));
            ends.map_err(|what| walk.corrupt(0, what))?;
        }
        Ok(())
    }
}
