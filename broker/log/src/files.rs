//! The files of the log: opened when they are read, and closed again when too many are open; and
//! their points, read when they are needed.
//!
//! A reader holds what it reads by an `Arc`: closing here takes it from nobody.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use logmill_model::PartitionId;

use crate::entry::Kind;
use crate::file_header::{FILE_HEADER_BYTES, FileHeader};
use crate::index::{EntryPlace, IndexBuilder, Point, PointsPlace, Seal};
use crate::log_file::LogFile;
use crate::points_cache::PointsCache;
use crate::resync::next_entry;
use crate::storage::{Storage, StorageFile};
use crate::{Error, index_file};

/// The most files that stay open for readers.
const OPEN_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct Files {
    storage: Arc<dyn Storage>,
    next_id: AtomicU64,
    /// Counts uses, so that the file that was not used for longest can be told.
    uses: AtomicU64,
    open: Mutex<Vec<Weak<LogFile>>>,
    points: PointsCache,
    /// Held while an index is made anew, so that it is not made twice at once.
    making: Mutex<()>,
}

impl Files {
    pub(crate) fn new(storage: Arc<dyn Storage>, points_cache_bytes: usize) -> Self {
        Self {
            storage,
            next_id: AtomicU64::new(0),
            uses: AtomicU64::new(0),
            open: Mutex::default(),
            points: PointsCache::new(points_cache_bytes),
            making: Mutex::default(),
        }
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    pub(crate) fn shared_storage(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.storage)
    }

    /// Takes in a file that is there.
    pub(crate) fn add(&self, path: &str, header: FileHeader) -> Arc<LogFile> {
        Arc::new(LogFile::new(self.next_id.fetch_add(1, Relaxed), path, header))
    }

    /// The file, open.
    pub(crate) fn open(&self, file: &Arc<LogFile>) -> Result<Arc<dyn StorageFile>, Error> {
        let now = self.uses.fetch_add(1, Relaxed);
        let (handle, opened) = file.open(&*self.storage, now)?;
        if opened {
            self.close_another(file);
        }
        Ok(handle)
    }

    /// Counts a file as open, and closes the one that was not used for longest if those are too many.
    fn close_another(&self, opened: &Arc<LogFile>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|file| file.strong_count() > 0);
        open.push(Arc::downgrade(opened));
        if open.len() > OPEN_MAX {
            let files = open.iter().enumerate();
            let used = |file: &Weak<LogFile>| file.upgrade().map(|file| file.used.load(Relaxed));
            let oldest = files.min_by_key(|(_, file)| used(file)).map(|(at, _)| at);
            let oldest = oldest.and_then(|at| open.swap_remove(at).upgrade());
            drop(open);
            if let Some(file) = oldest {
                file.close();
            }
        }
    }

    /// The points of a partition in a sealed file.
    pub(crate) fn points(
        &self,
        file: &Arc<LogFile>,
        partition: PartitionId,
        place: PointsPlace,
    ) -> Result<Arc<[Point]>, Error> {
        if let Some(points) = self.points.get(file.id, partition) {
            return Ok(points);
        }
        if let Some(points) = index_file::read_points(&*self.storage, &file.path, place) {
            return Ok(self.points.put(file.id, partition, points));
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let points = match index_file::read_points(&*self.storage, &file.path, place) {
            Some(points) => points,
            None => self.make_index(file, partition)?,
        };
        Ok(self.points.put(file.id, partition, points))
    }

    /// Makes the index of a sealed file anew, since it is missing or bad.
    fn make_index(&self, file: &Arc<LogFile>, partition: PartitionId) -> Result<Vec<Point>, Error> {
        let Some(seal) = file.seal() else { return Ok(Vec::new()) };
        let index = self.scan(file, seal)?;
        let points = index.partition(partition).map(|index| index.points.clone());
        let (_, bytes) = index.finish(file.header.salt, file.header.first, *seal);
        if index_file::write(&*self.storage, &file.path, &bytes) {
            tracing::warn!(
                path = file.path,
                "the index of a file was missing or bad; it was made anew"
            );
        }
        Ok(points.unwrap_or_default())
    }

    /// Where everything lies in a sealed file, as far as it can be read. Entries are checked, their
    /// batches are not.
    fn scan(&self, file: &Arc<LogFile>, seal: &Seal) -> Result<IndexBuilder, Error> {
        let mut window = file.window(self.open(file)?);
        let mut index = IndexBuilder::default();
        let mut position = FILE_HEADER_BYTES as u64;
        while position < seal.end {
            let Ok(head) = window.head(position, file.header.salt)? else {
                let next = next_entry(&mut window, file.header.salt, position, seal.end)?;
                position = next.unwrap_or(seal.end);
                continue;
            };
            head.coverage.iter().for_each(|it| index.cover(it));
            if matches!(head.header.kind, Kind::Commit | Kind::Block) {
                let place = EntryPlace::new(position, head.header.length);
                head.rows.iter().for_each(|row| index.add(row.partition, place, &row.envelope));
            }
            position += u64::from(head.header.length);
        }
        Ok(index)
    }
}
