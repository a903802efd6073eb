//! The disk runs full: it shows before anything is lost, nothing fails, and it ends by itself.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use std::sync::{Arc, Mutex};

use harness::{Running, batch, entries_of, mix, partition, settings, stored, wait_until};
use logmill_log::faulty::FaultyStorage;
use logmill_log::{Durability, Error, NewEntry, Settings};
use logmill_model::{Csn, Offset, SpaceLevel, Timestamp};

use SpaceLevel::{Critical, Full, Normal};

/// What the journal has told of the disk, and of itself.
#[derive(Default)]
struct Told {
    levels: Mutex<Vec<SpaceLevel>>,
    fatal: Mutex<Vec<Error>>,
}

/// Opens a log, and takes note of what it tells.
fn open(storage: &FaultyStorage, told: &Arc<Told>) -> Running {
    let (space, fatal) = (Arc::clone(told), Arc::clone(told));
    let settings = Settings {
        on_fatal: Arc::new(move |error| fatal.fatal.lock().unwrap().push(error.clone())),
        ..settings()
    };
    let running = Running::open(storage, settings).unwrap();
    let note = move |level| space.levels.lock().unwrap().push(level);
    running.journal.as_ref().unwrap().watch_space(Box::new(note));
    running
}

fn level(running: &Running) -> SpaceLevel {
    running.journal.as_ref().unwrap().space_level()
}

/// The commit that was appended last.
fn last(running: &Running) -> Csn {
    Csn(running.next.0 - 1)
}

/// Fills a disk of this size until a commit waits for space. Returns the acknowledged commits; the
/// one that waits is the next.
fn fill(storage: &FaultyStorage, running: &mut Running, capacity: u64) -> Vec<Csn> {
    storage.set_capacity(Some(capacity));
    let mut acked = Vec::new();
    while level(running) != Critical {
        acked.extend(running.run(1, 1));
    }
    // A batch larger than all that is left.
    let end = running.ends.entry(partition(0)).or_default();
    let stored = stored(partition(0), *end, running.next, batch(&[vec![7; 200_000]]));
    let entry = NewEntry {
        csn: running.next,
        time: Timestamp(1000 + running.next.0),
        appends: vec![stored],
    };
    running.append_entry(entry);
    acked
}

const CAPACITY: u64 = 150_000;

#[test]
fn the_levels_come_one_after_the_other_and_go_by_themselves() {
    let (storage, told) = (FaultyStorage::new(), Arc::<Told>::default());
    let mut running = open(&storage, &told);
    let acked = fill(&storage, &mut running, CAPACITY);
    assert!(!acked.is_empty());
    assert_eq!(*told.levels.lock().unwrap(), [Normal, Full, Critical]);

    storage.set_capacity(None);
    assert_eq!(running.told(), (last(&running), Durability::Durable));
    wait_until(|| level(&running) == Normal);
    let levels = told.levels.lock().unwrap().clone();
    assert!(levels.starts_with(&[Normal, Full, Critical]) && levels.ends_with(&[Full, Normal]));
    assert_eq!(running.run(50, 5).len(), 50);
    running.close().unwrap();
    assert!(told.fatal.lock().unwrap().is_empty());
}

#[test]
fn at_each_level_there_is_a_file_left_for_what_goes_on() {
    let (storage, told) = (FaultyStorage::new(), Arc::<Told>::default());
    let mut running = open(&storage, &told);
    storage.set_capacity(Some(CAPACITY));
    while level(&running) == Normal {
        running.run(1, 1);
        wait_until(|| files_ahead(&storage) == 2 || level(&running) != Normal);
    }
    let before = running.log.stats().bytes;
    while level(&running) == Full {
        running.run(1, 1);
    }
    let cursors = running.log.stats().bytes - before;
    assert!(cursors > 8 * 1024, "{cursors} bytes for what is worked on");
    assert!(storage.contents(&newest(&storage)).unwrap().len() >= 16 * 1024);
    let left = CAPACITY - storage.paths().iter().map(|it| bytes(&storage, it)).sum::<u64>();
    assert!(left >= settings().reserve_bytes, "{left} bytes for the cleaner");
}

fn files_ahead(storage: &FaultyStorage) -> usize {
    storage.paths().iter().filter(|path| path.contains("ahead-")).count()
}

fn bytes(storage: &FaultyStorage, path: &str) -> u64 {
    storage.contents(path).unwrap().len() as u64
}

fn newest(storage: &FaultyStorage) -> String {
    harness::newest_file(&harness::snapshot(storage))
}

#[test]
fn a_journal_closed_while_it_is_full_says_unknown_and_is_sealed() {
    let (storage, told) = (FaultyStorage::new(), Arc::<Told>::default());
    let mut running = open(&storage, &told);
    let acked = fill(&storage, &mut running, CAPACITY);
    let waits = last(&running);
    // It would fit, but what comes before it does not.
    running.append();
    running.close().unwrap();
    assert_eq!(running.told(), (waits, Durability::Unknown));
    assert_eq!(running.told(), (waits.next(), Durability::Unknown));
    assert!(told.fatal.lock().unwrap().is_empty());

    let again = Running::open(&storage, settings()).unwrap();
    assert!(!again.recovered.unclean);
    assert_eq!(Some(&again.recovered.last_csn), acked.last());
    again.check().unwrap();
}

#[test]
fn a_broker_killed_while_it_is_full_starts_on_the_full_disk_and_has_lost_nothing() {
    for seed in harness::seeds(8) {
        let storage = FaultyStorage::new();
        let mut running = Running::open(&storage, settings()).unwrap();
        let acked = fill(&storage, &mut running, CAPACITY);
        let seen = running.seen();
        running.drop_journal();
        assert_eq!(running.told().1, Durability::Unknown);
        if seed % 2 == 0 {
            storage.restart();
        } else {
            storage.power_cut(mix(seed, 1));
        }
        let mut again = Running::open(&storage, settings()).unwrap();
        again.check_against(&acked, &seen).unwrap();
        wait_until(|| level(&again) != Normal);
        // What frees space is still written.
        assert_eq!(again.run(2, 1).len(), 2);
        storage.set_capacity(None);
        wait_until(|| level(&again) == Normal);
        assert_eq!(again.run(50, 5).len(), 50);
    }
}

/// Others have filled the disk as well: there is no reserve.
#[test]
fn a_broker_killed_on_a_disk_without_a_free_byte_starts_in_the_space_that_it_has() {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    let mut acked = running.run(20, 4);
    wait_until(|| files_ahead(&storage) == 2);
    let used = storage.paths().iter().map(|path| bytes(&storage, path)).sum();
    acked.extend(fill(&storage, &mut running, used));
    let seen = running.seen();
    running.drop_journal();
    storage.restart();
    assert_eq!(files_ahead(&storage), 0);
    let again = Running::open(&storage, settings()).unwrap();
    again.check_against(&acked, &seen).unwrap();
}

#[test]
fn a_disk_without_room_for_a_whole_file_is_started_on() {
    let storage = FaultyStorage::new();
    storage.set_capacity(Some(10_000));
    let mut running = Running::open(&storage, settings()).unwrap();
    wait_until(|| level(&running) == Critical);
    storage.set_capacity(None);
    assert_eq!(running.run(100, 3).len(), 100);
    running.close().unwrap();
    let again = Running::open(&storage, settings()).unwrap();
    again.check().unwrap();
}

#[test]
fn a_folder_without_room_for_a_name_is_waited_for() {
    let (storage, told) = (FaultyStorage::new(), Arc::<Told>::default());
    let mut running = open(&storage, &told);
    storage.refuse_renames(true);
    while level(&running) == Normal {
        running.run(1, 1);
    }
    storage.refuse_renames(false);
    assert_eq!(running.run(100, 3).len(), 100);
    wait_until(|| level(&running) == Normal);
    assert!(told.fatal.lock().unwrap().is_empty());
    running.check_reads(last(&running)).unwrap();
}

#[test]
fn what_a_crash_left_of_files_made_ahead_is_removed_and_never_read() {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    let acked = running.run(40, 4);
    running.drop_journal();
    storage.restart();
    // The file in use again, as if a crash came before its name: and more of it than was durable.
    let left_over = storage.contents(&newest(&storage)).unwrap();
    for number in [0, 1, 7] {
        storage.set_contents(&format!("journal/ahead-{number}"), &left_over);
    }
    let mut again = Running::open(&storage, settings()).unwrap();
    again.check_against(&acked, &running.seen()).unwrap();
    assert_eq!(again.run(40, 4).len(), 40);
    again.close().unwrap();
    assert_eq!(files_ahead(&storage), 0);
    Running::open(&storage, settings()).unwrap().check().unwrap();
}

#[test]
fn a_file_in_use_has_its_space_and_gives_it_back_when_it_is_sealed() {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    running.run(100, 3);
    let newest = newest(&storage);
    for (path, contents) in harness::snapshot(&storage) {
        if path == newest {
            assert_eq!(contents.len(), 16 * 1024);
        } else if path.ends_with(".journal") {
            assert_eq!(contents.len(), entries_of(&contents).1, "{path}");
        }
    }
    wait_until(|| files_ahead(&storage) == 2);
    assert_eq!(running.log.start_offset(partition(0)), Offset(0));
}
