//! Finds how much of compacted partitions newer values have superseded, and in which files.
//!
//! The keys of what is new since the last survey are gathered, and then everything is held against
//! them. What was there before had been held against its own keys when it was rewritten, or lies in
//! a file that was not worth that.

use std::collections::HashMap;
use std::sync::Arc;

use logmill_model::{Envelope, Offset, PartitionId, RecordBatch};

use super::Throttle;
use super::compact::{Horizon, Known, note_keys};
use super::keys::KeyMap;
use super::part::{Part, places};
use super::walk::Walk;
use crate::Error;
use crate::log_file::LogFile;
use crate::visible::Visible;

/// What is to be looked at.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) visible: Arc<Visible>,
    /// Sealed, in the order of their entries.
    pub(super) files: Vec<Arc<LogFile>>,
    /// Compacted partitions, with all that sealed files hold of them, and where what is new begins.
    pub(super) parts: Vec<(Part, Offset)>,
    pub(super) horizon: Horizon,
    pub(super) keys_bytes_max: usize,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Surveyed {
    /// How far each partition was looked at.
    pub(super) ends: Vec<(PartitionId, Offset)>,
    /// The bytes of superseded records, by file and partition.
    pub(super) superseded: HashMap<(u64, PartitionId), u64>,
    pub(super) keys: Arc<KeyMap>,
}

impl Survey {
    pub(super) fn run(self, throttle: &Throttle) -> Result<Surveyed, Error> {
        let mut keys = KeyMap::new(self.keys_bytes_max);
        self.visit(throttle, &|(_, new)| *new, &mut |_, partition, envelope, batch| {
            note_keys(&mut keys, partition, envelope.base_offset, batch);
        })?;
        let mut superseded: HashMap<(u64, PartitionId), u64> = HashMap::new();
        self.visit(throttle, &|(part, _)| part.start, &mut |file, partition, envelope, batch| {
            let (here, horizon) = (&keys, self.horizon);
            let known = Known { partition, here, elsewhere: None, from_first: true, horizon };
            // Where not all keys are known, those that are stand for the others.
            let bytes = known.superseded_bytes(envelope, batch).saturating_mul(keys.one_of());
            *superseded.entry((file, partition)).or_default() += bytes;
        })?;
        let end = |part: &Part| part.spans.last().map_or(Offset::ZERO, |span| span.end);
        let ends = self.parts.iter().map(|(part, _)| (part.partition, end(part))).collect();
        Ok(Surveyed { ends, superseded, keys: Arc::new(keys) })
    }

    /// Shows the batches of each partition from some offset on, file by file.
    fn visit(
        &self,
        throttle: &Throttle,
        from: &dyn Fn(&(Part, Offset)) -> Offset,
        visit: &mut dyn FnMut(u64, PartitionId, &Envelope, &RecordBatch),
    ) -> Result<(), Error> {
        let files = &self.visible.files;
        let starts: HashMap<PartitionId, Offset> =
            self.parts.iter().map(|it| (it.0.partition, from(it))).collect();
        for file in &self.files {
            let parts = self.parts.iter().map(|it| (&it.0, from(it)));
            let places = places(files, file, parts)?;
            let walk = Walk { files, file, throttle };
            walk.visit(&places, &|it| starts.contains_key(&it), &mut |row, batch| {
                if row.envelope.end_offset() > starts[&row.partition] {
                    visit(file.id, row.partition, &row.envelope, &batch);
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}
