//! A bit flips anywhere, in files of every kind: nothing wrong is served, nothing is lost but what
//! lay in the entry that was hit, no offset is used twice, and the place is told (A5).

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod cleaning;
mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;
use cleaning::cuts::prepared;
use cleaning::{Broker, History, noise, partition, record};
use harness::backups::back_up;
use harness::{Snapshot, entries_of, is_index, mix, newest_file, restored, rot, seeds, snapshot};
use logmill_log::faulty::FaultyStorage;
use logmill_log::{Cost, Error, Finding, Log};
use logmill_model::{Offset, PartitionId, RecordBatch, TopicId};

const FLIPS: u64 = 1000;
/// How many flips hit the same directory, one at a time.
const FLIPS_EACH: u64 = 50;
const PARTITIONS: u32 = 4;
/// Of files that hold the log, and of those that only help.
const KINDS: [&str; 5] = ["journal", "segment", "index", "torn", "ahead"];

type Found = BTreeMap<(PartitionId, Offset), (Option<Bytes>, Option<Bytes>)>;

/// A directory before anything flips.
struct Directory {
    files: Snapshot,
    history: History,
    /// What it reads as.
    found: Found,
    ends: BTreeMap<PartitionId, Offset>,
}

/// Where a bit flips.
#[derive(Debug)]
struct Flip {
    path: String,
    at: usize,
    bit: u32,
}

fn partitions() -> impl Iterator<Item = PartitionId> {
    (0..PARTITIONS).map(partition).chain([PartitionId::SEGMENTS])
}

fn directory(seed: u64) -> Directory {
    let (storage, mut broker) = prepared(seed);
    broker.clean().unwrap();
    let history = broker.stop();
    storage.restart();
    tear(&storage);
    let mut broker = open(&storage, history).unwrap();
    for n in 0..20 {
        broker.append_value(partition(u32::try_from(n % 3).unwrap()), 300).unwrap();
    }
    let history = broker.stop();
    storage.restart();
    // Before the start, which would seal and remove: what a broker leaves that was killed.
    let mut files = snapshot(&storage);
    // Those that the broker made ahead come and go on a thread of their own.
    files.retain(|path, _| kind(path) != "ahead");
    files.insert("journal/ahead-1".to_owned(), vec![0; 16 * 1024]);
    let broker = open(&restored(&files), history.clone()).unwrap();
    let found = found(&broker.log);
    let ends = partitions().map(|id| (id, broker.log.end_offset(id))).collect();
    Directory { files, history, found, ends }
}

/// Leaves something that was torn at the end of the journal.
fn tear(storage: &FaultyStorage) {
    let files = snapshot(storage);
    let path = newest_file(&files);
    let (mut bytes, end) = (files[&path].clone(), entries_of(&files[&path]).1);
    bytes.resize(bytes.len().max(end + 500), 0);
    bytes[end..end + 500].copy_from_slice(&noise(1, 500)[..500]);
    storage.set_contents(&path, &bytes);
}

fn kind(path: &str) -> &str {
    match path.rsplit_once('.') {
        Some((_, kind)) => kind,
        None if path.contains("ahead-") => "ahead",
        None => path,
    }
}

fn open(storage: &FaultyStorage, history: History) -> Result<Broker, Error> {
    let broker = Broker::open(storage, cleaning::settings(), history)?;
    partitions().for_each(|id| broker.log.expect(id));
    Ok(broker)
}

fn found(log: &Log) -> Found {
    read(log).0
}

/// All that can be read, around what is lost, which is told as well.
fn read(log: &Log) -> (Found, Vec<Error>) {
    let (mut found, mut losses) = (Found::new(), Vec::new());
    for id in partitions() {
        let mut next = log.start_offset(id);
        loop {
            let batches = match log.read(id, next, 1 << 20) {
                Ok(batches) => batches,
                Err(error) => {
                    let Error::CorruptRange { from, to, .. } = error else {
                        unreachable!("{id} at {next}: {error}")
                    };
                    // Compaction may have taken what lies before it.
                    assert!(next < to, "{id}: {from} to {to} is told at {next}");
                    next = to;
                    losses.push(error);
                    continue;
                }
            };
            let end = batches.last().map(|last| last.envelope.end_offset());
            match end.unwrap_or_else(|| log.after_accepted(id, next)) {
                after if after > next => next = after,
                _ => break,
            }
            for batch in &batches {
                for (delta, record) in batch.batch.decompressed(1 << 21).unwrap().to_records() {
                    let at = RecordBatch::offset_at(batch.envelope.base_offset, delta);
                    let before = found.insert((id, at), (record.key, record.value));
                    assert!(before.is_none(), "{id} has offset {at} twice");
                }
            }
        }
    }
    (found, losses)
}

/// The offsets of the records in the entry of a file that has this byte.
fn hit(file: &[u8], at: usize) -> Vec<(PartitionId, Range<Offset>)> {
    let Some((begin, _)) = entries_of(file).0.into_iter().rfind(|(begin, _)| *begin <= at) else {
        return Vec::new();
    };
    let u32_at = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    if at >= begin + u32_at(begin + 16) as usize {
        return Vec::new();
    }
    let rows = (0..u32_at(begin + 20) as usize).map(|row| begin + 64 + row * 80);
    let range = |row: usize| {
        let id = PartitionId::new(TopicId(u64_at(row)), u32_at(row + 8));
        let (base, last_delta) = (u64_at(row + 16), u32_at(row + 16 + 44));
        (id, Offset(base)..Offset(base + u64::from(last_delta) + 1))
    };
    rows.map(range).collect()
}

impl Flip {
    /// One in a file of the kind whose turn it is; mostly where something was written.
    fn of(files: &Snapshot, nth: u64, seed: u64) -> Self {
        let turn = [0, 1, 2, 0, 1, 3, 0, 1, 2, 4][usize::try_from(nth % 10).unwrap()];
        let of_kind: Vec<_> = files.iter().filter(|it| kind(it.0) == KINDS[turn]).collect();
        let random = |n, below: usize| usize::try_from(mix(seed, n)).unwrap() % below;
        let (path, bytes) = of_kind[random(1, of_kind.len())];
        let written = bytes.iter().rposition(|byte| *byte != 0).map_or(bytes.len(), |at| at + 1);
        let at = match random(2, 10) {
            0 => random(3, bytes.len()),
            1 => random(3, 128.min(written)),
            _ => random(3, written),
        };
        Self { path: path.clone(), at, bit: u32::try_from(random(4, 8)).unwrap() }
    }

    fn apply(&self, files: &Snapshot) -> Snapshot {
        let mut files = files.clone();
        files.get_mut(&self.path).unwrap()[self.at] ^= 1 << self.bit;
        files
    }

    /// Without indexes, the broker reads everything at its start.
    fn check(&self, directory: &Directory, with_indexes: bool) -> Result<(), String> {
        let mut files = self.apply(&directory.files);
        files.retain(|path, _| with_indexes || !is_index(path));
        let holds_log = ["journal", "segment"].contains(&kind(&self.path));
        let file = &directory.files[&self.path];
        let may_go = if holds_log { hit(file, self.at) } else { Vec::new() };
        let is_hit = |(id, at): &(PartitionId, Offset)| {
            may_go.iter().any(|(hit, range)| hit == id && range.contains(at))
        };
        let told = findings(&restored(&files));
        let storage = restored(&files);
        let mut broker =
            open(&storage, directory.history.clone()).map_err(|error| error.to_string())?;
        let before = found(&broker.log);
        let mut lost = false;
        for (place, record) in &directory.found {
            match before.get(place) {
                Some(there) if there != record => return Err(format!("{place:?} is altered")),
                None if !is_hit(place) => return Err(format!("{place:?} is lost")),
                None => lost = true,
                Some(_) => {}
            }
        }
        if let Some(place) = before.keys().find(|place| !directory.found.contains_key(place)) {
            return Err(format!("{place:?} has come back"));
        }
        let names = |it: &Finding| {
            let bytes = it.position..it.position + it.bytes.max(1);
            it.path == self.path && bytes.contains(&(self.at as u64))
        };
        if lost && !broker.log.corrupt().is_empty() && !told.iter().any(names) {
            return Err(format!("no place of it is told, but {told:?}"));
        }
        self.go_on(directory, &storage, &mut broker)?;
        let history = broker.stop();
        storage.power_cut(self.at as u64);
        let again = open(&storage, history).map_err(|error| error.to_string())?;
        let after = found(&again.log);
        if let Some((place, _)) = before.iter().find(|(place, it)| after.get(place) != Some(it)) {
            return Err(format!("{place:?} is gone after another start"));
        }
        check_accepted(&storage, again.stop(), &after)
    }

    /// Appends to each partition, behind all that was ever there.
    fn go_on(
        &self,
        directory: &Directory,
        storage: &FaultyStorage,
        broker: &mut Broker,
    ) -> Result<(), String> {
        for id in (0..PARTITIONS).map(partition) {
            let (end, before) = (broker.log.end_offset(id), directory.ends[&id]);
            // Only what could have been torn may be cut off; it is kept beside.
            let is_cut = storage.paths().iter().any(|path| path.ends_with(".torn"));
            if end < before && !is_cut {
                return Err(format!("{id} ended at {before} and goes on at {end}"));
            }
            broker.go_on_at(id, end);
            let records = vec![record(Some("key"), Some(b"value"))];
            broker.append(&[(id, records)]).map_err(|it| it.0)?;
        }
        Ok(())
    }
}

/// Accepts what is lost, and checks that nothing else is.
fn check_accepted(storage: &FaultyStorage, history: History, before: &Found) -> Result<(), String> {
    storage.restart();
    rot::accept(storage);
    // A copy of a header, or an index, may be bad still, and costs nothing.
    if let Some(it) = findings(storage).into_iter().find(|it| it.cost == Cost::Loss) {
        return Err(format!("{it:?} was not accepted"));
    }
    let broker = open(storage, history).map_err(|error| error.to_string())?;
    if let Some(hole) = broker.log.corrupt().first() {
        return Err(format!("{hole:?} was not accepted"));
    }
    let (after, losses) = read(&broker.log);
    if let Some(error) = losses.first() {
        return Err(format!("{error} was not accepted"));
    }
    let is_same = |(place, record): (&(PartitionId, Offset), _)| after.get(place) == Some(record);
    if !before.iter().all(is_same) {
        return Err("accepting has cost more".to_owned());
    }
    check_backup(&broker, &after)
}

/// Backs up what has nothing but accepted losses, and checks that the copy is the same.
fn check_backup(broker: &Broker, before: &Found) -> Result<(), String> {
    let backup = FaultyStorage::new();
    let made = back_up(&broker.log, &backup, &mut |_| true);
    made.map_err(|error| format!("no backup: {error}"))?;
    if let Some(it) = findings(&backup).into_iter().find(|it| it.cost != Cost::Accepted) {
        return Err(format!("{it:?} is in the backup"));
    }
    let served = open(&backup, broker.history.clone()).map_err(|error| error.to_string())?;
    let (after, losses) = read(&served.log);
    if after == *before && losses.is_empty() && served.log.corrupt().is_empty() {
        Ok(())
    } else {
        Err(format!("the backup serves something else, with {losses:?}"))
    }
}

/// What a look at the directory tells.
fn findings(storage: &FaultyStorage) -> Vec<Finding> {
    rot::reports(storage).into_iter().flat_map(|report| report.findings).collect()
}

/// Flips a bit where nothing was written yet, in the file being written or in one made ahead.
fn flip_what_is_empty(storage: &FaultyStorage, seed: u64) -> bool {
    let files = snapshot(storage);
    let newest = newest_file(&files);
    let of_kind: Vec<_> =
        files.iter().filter(|it| kind(it.0) == "ahead" || *it.0 == newest).collect();
    let (path, bytes) = of_kind[usize::try_from(mix(seed, 1)).unwrap() % of_kind.len()];
    let written = if *path == newest { entries_of(bytes).1 } else { 0 };
    if written >= bytes.len() {
        return false;
    }
    let at = written + usize::try_from(mix(seed, 2)).unwrap() % (bytes.len() - written);
    let mut bytes = bytes.clone();
    bytes[at] ^= 1 << (mix(seed, 3) % 8);
    storage.set_contents(path, &bytes);
    true
}

/// Space is allocated before it is used, and rots until then.
#[test]
fn what_rots_before_it_is_written_costs_nothing() {
    for seed in seeds(20) {
        let storage = FaultyStorage::new();
        let mut broker = open(&storage, History::default()).unwrap();
        let mut flips = 0;
        for n in 0..40 {
            flips += u64::from(flip_what_is_empty(&storage, mix(seed, n)));
            broker.append_value(partition(u32::try_from(n % 3).unwrap()), 900).unwrap();
        }
        assert!(flips > 10, "{flips} flips");
        broker.check().unwrap();
        let history = if seed.is_multiple_of(2) { broker.stop() } else { broker.close() };
        storage.power_cut(seed);
        let broker = open(&storage, history).unwrap();
        broker.check().unwrap();
        assert_eq!(broker.log.corrupt(), [], "{seed}");
    }
}

#[test]
fn a_flipped_bit_costs_at_most_the_entry_that_it_hits() {
    let mut directory = directory(0);
    let mut kinds = BTreeSet::new();
    for nth in seeds(FLIPS) {
        if nth.is_multiple_of(FLIPS_EACH) {
            directory = self::directory(nth / FLIPS_EACH);
        }
        let flip = Flip::of(&directory.files, nth, mix(5, nth));
        kinds.insert(kind(&flip.path).to_owned());
        let with_indexes = !mix(6, nth).is_multiple_of(3) || kind(&flip.path) == "index";
        let checked = flip.check(&directory, with_indexes);
        checked.unwrap_or_else(|what| panic!("{nth}: {flip:?}: {what}"));
    }
    assert_eq!(kinds.len(), KINDS.len());
}
