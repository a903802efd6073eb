//! Bits that flip on the disk, and what is told of them.

use std::sync::Arc;

use logmill_log::faulty::FaultyStorage;
use logmill_log::storage::Storage;
use logmill_log::{Cost, FileReport, Finding, Hole, Known, accept_losses, verify};

use super::{Snapshot, entries_of, newest_file};

pub(crate) fn flip(snapshot: &mut Snapshot, path: &str, at: usize) {
    snapshot.get_mut(path).unwrap()[at] ^= 1 << (at % 8);
}

pub(crate) fn flip_header(snapshot: &mut Snapshot, path: &str) {
    flip(snapshot, path, 20);
    flip(snapshot, path, 2048 + 20);
}

/// Where a bit may be flipped in a file, so that what it hits was proven durable.
pub(crate) fn proven_end(snapshot: &Snapshot, path: &str) -> usize {
    let (entries, end) = entries_of(&snapshot[path]);
    if path == newest_file(snapshot) { entries.last().unwrap().0 } else { end }
}

pub(crate) fn reports(storage: &FaultyStorage) -> Vec<FileReport> {
    reports_knowing(storage, &Known::default())
}

pub(crate) fn reports_knowing(storage: &FaultyStorage, known: &Known) -> Vec<FileReport> {
    let storage: Arc<dyn Storage> = Arc::new(storage.clone());
    let mut reports = Vec::new();
    let findings = verify(&storage, known, &mut |report| reports.push(report)).unwrap();
    let told = reports.iter().flat_map(|it| &it.findings);
    let counts = |it: &&Finding| !matches!(it.cost, Cost::Accepted | Cost::Torn);
    assert_eq!(findings, told.filter(counts).count() as u64);
    reports
}

pub(crate) fn accept(storage: &FaultyStorage) -> Vec<Hole> {
    accept_knowing(storage, &Known::default())
}

pub(crate) fn accept_knowing(storage: &FaultyStorage, known: &Known) -> Vec<Hole> {
    let storage: Arc<dyn Storage> = Arc::new(storage.clone());
    accept_losses(&storage, known).unwrap()
}
