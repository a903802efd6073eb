//! The file being written, with what is known of it.

use std::sync::Arc;

use logmill_model::{Envelope, PartitionId};

use crate::active_file::{ActiveFile, Newest};
use crate::entry::SealReason;
use crate::file_header::FileHeader;
use crate::index::{EntryPlace, IndexBuilder, Seal};
use crate::index_file;
use crate::log_file::LogFile;
use crate::storage::Storage;
use crate::visible::Visible;

#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) file: ActiveFile,
    /// As readers know it.
    pub(crate) shown: Arc<LogFile>,
    index: IndexBuilder,
    /// The commit before its first.
    before: Newest,
}

impl Current {
    /// A file that was just made, for the commits after `before`.
    pub(crate) fn new(file: ActiveFile, before: Newest, visible: &Visible) -> Self {
        let shown = visible.files.add(file.path(), *file.header());
        visible.sealed.set_growing(&shown);
        Self { file, shown, index: IndexBuilder::default(), before }
    }

    /// Takes in a batch of a durable entry.
    pub(crate) fn add(&mut self, partition: PartitionId, entry: EntryPlace, envelope: &Envelope) {
        self.index.add(partition, entry, envelope);
    }

    /// Its seal is durable: keeps the index beside it, and lets readers take it from there.
    pub(crate) fn end(
        &mut self,
        reason: SealReason,
        newest: Newest,
        storage: &dyn Storage,
        visible: &Visible,
    ) {
        let FileHeader { salt, first, .. } = self.shown.header;
        let (prev_crc, end) = (self.before.entry_crc, self.file.position());
        let seal = Seal { reason, prev_crc, newest, end };
        let (summary, bytes) = std::mem::take(&mut self.index).finish(salt, first, seal);
        index_file::write(storage, &self.shown.path, &bytes);
        self.shown.set_seal(seal);
        visible.seal_file(&self.shown, &summary);
    }
}
