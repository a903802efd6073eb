//! A file as the page cache has it and as the disk has it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::random::Random;

const PAGE: usize = 4096;
const SECTOR: usize = 512;

type Page = [u8; PAGE];

fn page_of(position: u64) -> (u64, usize) {
    let within = usize::try_from(position % PAGE as u64).expect("below the size of a page");
    (position / PAGE as u64, within)
}

/// One state of a file. Pages that are not there read as zeros.
#[derive(Debug, Clone, Default)]
struct Image {
    pages: BTreeMap<u64, Arc<Page>>,
    bytes: u64,
}

impl Image {
    fn set_bytes(&mut self, bytes: u64) {
        self.bytes = bytes;
        let (last, within) = page_of(bytes);
        drop(self.pages.split_off(&(last + 1)));
        if let Some(page) = self.pages.get_mut(&last) {
            Arc::make_mut(page)[within..].fill(0);
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Contents {
    current: Image,
    durable: Image,
    /// Pages that a sync would write. A failed sync empties it, though the disk has none of them.
    dirty: BTreeSet<u64>,
    dirty_bytes: bool,
}

impl Contents {
    pub(super) fn bytes(&self) -> u64 {
        self.current.bytes
    }

    pub(super) fn read_all(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.bytes()).expect("files in memory are small")];
        self.read(&mut bytes, 0);
        bytes
    }

    pub(super) fn read(&self, buffer: &mut [u8], position: u64) -> usize {
        let rest = self.current.bytes.saturating_sub(position);
        let length = buffer.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        let mut filled = 0;
        while filled < length {
            let (index, within) = page_of(position + filled as u64);
            let some = (PAGE - within).min(length - filled);
            let target = &mut buffer[filled..filled + some];
            match self.current.pages.get(&index) {
                Some(page) => target.copy_from_slice(&page[within..within + some]),
                None => target.fill(0),
            }
            filled += some;
        }
        length
    }

    pub(super) fn write(&mut self, bytes: &[u8], position: u64) {
        let mut written = 0;
        while written < bytes.len() {
            let (index, within) = page_of(position + written as u64);
            let some = (PAGE - within).min(bytes.len() - written);
            let page = self.current.pages.entry(index).or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(page)[within..within + some]
                .copy_from_slice(&bytes[written..written + some]);
            self.dirty.insert(index);
            written += some;
        }
        self.grow(position + bytes.len() as u64);
    }

    pub(super) fn grow(&mut self, bytes: u64) {
        if bytes > self.current.bytes {
            self.current.bytes = bytes;
            self.dirty_bytes = true;
        }
    }

    pub(super) fn truncate(&mut self, bytes: u64) {
        let (last, _) = page_of(bytes);
        self.dirty.extend(self.current.pages.range(last..).map(|(index, _)| *index));
        self.current.set_bytes(bytes);
        self.dirty_bytes = true;
    }

    pub(super) fn sync(&mut self) {
        for index in std::mem::take(&mut self.dirty) {
            match self.current.pages.get(&index) {
                Some(page) => self.durable.pages.insert(index, Arc::clone(page)),
                None => self.durable.pages.remove(&index),
            };
        }
        if std::mem::take(&mut self.dirty_bytes) {
            self.durable.set_bytes(self.current.bytes);
        }
    }

    /// The sync failed: the cache calls everything clean, the disk has nothing of it.
    pub(super) fn fail_sync(&mut self) {
        self.dirty.clear();
        self.dirty_bytes = false;
    }

    /// The power fails: what the disk does not have for sure is there, is not, or is there in part.
    pub(super) fn power_cut(&mut self, random: &mut Random) {
        let mut image = self.durable.clone();
        let indexes: BTreeSet<u64> =
            self.durable.pages.keys().chain(self.current.pages.keys()).copied().collect();
        for index in indexes {
            let zeros = Arc::new([0; PAGE]);
            let old = self.durable.pages.get(&index).unwrap_or(&zeros);
            let new = self.current.pages.get(&index).unwrap_or(&zeros);
            if old != new {
                image.pages.insert(index, Arc::new(survivor(old, new, random)));
            }
        }
        let bytes = if random.coin() { self.durable.bytes } else { self.current.bytes };
        image.set_bytes(bytes);
        *self = Self { current: image.clone(), durable: image, ..Self::default() };
    }
}

/// The old page, the new one, some sectors of each, or the new one up to some byte.
fn survivor(old: &Page, new: &Page, random: &mut Random) -> Page {
    let mut page = *old;
    match random.below(4) {
        0 => {}
        1 => page = *new,
        2 => {
            for start in (0..PAGE).step_by(SECTOR) {
                if random.coin() {
                    page[start..start + SECTOR].copy_from_slice(&new[start..start + SECTOR]);
                }
            }
        }
        _ => {
            // The edge lies among the bytes that changed, or nothing would be torn.
            let changed = |at: &usize| old[*at] != new[*at];
            let first = (0..PAGE).find(changed).unwrap_or(0);
            let last = (0..PAGE).rfind(changed).unwrap_or(0);
            let edge = first + random.index_below(last - first + 1);
            page[..edge].copy_from_slice(&new[..edge]);
        }
    }
    page
}
