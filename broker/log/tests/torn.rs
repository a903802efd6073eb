//! The end of the journal is cut at every byte, zeroed, overwritten: the next start keeps all that
//! was acknowledged, cuts only what was not, and keeps what it cut.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use harness::{Running, Snapshot, entries_of, newest_file, restored, settings, snapshot};
use logmill_log::Settings;
use logmill_log::faulty::FaultyStorage;
use logmill_model::Csn;

const ACKED: u64 = 12;
const IN_FLIGHT: u64 = 3;

/// A directory whose last file ends with a group that was written and not synced.
fn with_unsynced_group(settings: &Settings) -> Snapshot {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings.clone()).unwrap();
    assert_eq!(running.run(ACKED - 1, 1).len() as u64, ACKED - 1);
    storage.hold_syncs();
    running.append();
    storage.wait_for_held_sync();
    (0..IN_FLIGHT).for_each(|_| running.append());
    storage.stop_at_sync(2);
    storage.release_syncs();
    running.told();
    (0..IN_FLIGHT).for_each(|_| _ = running.told());
    running.drop_journal();
    storage.restart();
    snapshot(&storage)
}

fn one_file() -> Settings {
    Settings { journal_file_bytes: 1 << 16, ..settings() }
}

/// Opens a directory whose newest file is `bytes`; checks what is there, and what is kept beside.
fn open_with(snapshot: &Snapshot, path: &str, bytes: &[u8]) -> Csn {
    let (entries, end) = entries_of(&snapshot[path]);
    let mut snapshot = snapshot.clone();
    snapshot.insert(path.to_owned(), bytes.to_vec());
    let storage = restored(&snapshot);
    let running = Running::open(&storage, one_file()).unwrap();
    running.check().unwrap();
    let last = running.recovered.last_csn;
    assert!(last >= Csn(ACKED), "entry {last} is the last");
    let whole_end = entries.iter().find(|(_, csn)| *csn == last.next()).map_or(end, |(at, _)| *at);
    let kept = storage.contents(&format!("{path}.torn")).unwrap_or_default();
    assert_eq!(running.recovered.torn_bytes, kept.len() as u64);
    let cut = bytes.get(whole_end..).unwrap_or_default();
    let end = cut.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    assert!(kept == cut[..end], "what is kept is what was cut");
    last
}

#[test]
fn a_tail_cut_at_any_byte_keeps_all_that_was_acknowledged() {
    let snapshot = with_unsynced_group(&one_file());
    let path = newest_file(&snapshot);
    let bytes = &snapshot[&path];
    let (entries, end) = entries_of(bytes);
    let begin = entries.iter().find(|(_, csn)| *csn == Csn(ACKED + 1)).unwrap().0;
    assert_eq!(entries.last().unwrap().1, Csn(ACKED + IN_FLIGHT));
    for cut in begin..=end {
        let whole = entries.iter().filter(|(at, _)| *at < cut).map(|(_, csn)| *csn);
        let started = whole.max().unwrap();
        for zeros in [false, true] {
            let mut torn = bytes[..cut].to_vec();
            if zeros {
                torn.resize(bytes.len(), 0);
            }
            let last = open_with(&snapshot, &path, &torn);
            assert!(last == started || last.next() == started, "cut at {cut}: {last}");
        }
    }
}

#[test]
fn lost_and_overwritten_sectors_keep_all_that_was_acknowledged() {
    let snapshot = with_unsynced_group(&one_file());
    let path = newest_file(&snapshot);
    let bytes = &snapshot[&path];
    let (entries, end) = entries_of(bytes);
    let begin = entries.iter().find(|(_, csn)| *csn == Csn(ACKED + 1)).unwrap().0;
    // Bytes of another file: entries that are whole, but not of this one.
    let stale = {
        let other = with_unsynced_group(&one_file());
        other[&newest_file(&other)].clone()
    };
    for edge in [512, 4096] {
        for from in (begin..end).step_by(64).chain([begin, begin + 8, end - 1]) {
            let to = (from + 1).next_multiple_of(edge).min(bytes.len());
            for fill in 0..3 {
                let mut torn = bytes.clone();
                match fill {
                    0 => torn[from..to].fill(0),
                    1 => torn[from..to].fill(0xa5),
                    _ => torn[from..to].copy_from_slice(&stale[from..to]),
                }
                open_with(&snapshot, &path, &torn);
            }
        }
    }
}

#[test]
fn bytes_of_other_files_are_never_entries() {
    let snapshot = with_unsynced_group(&one_file());
    let path = newest_file(&snapshot);
    let other = with_unsynced_group(&one_file());
    let (entries, _) = entries_of(&snapshot[&path]);
    let begin = entries.iter().find(|(_, csn)| *csn == Csn(ACKED + 1)).unwrap().0;
    let mut bytes = snapshot[&path].clone();
    bytes[begin..].copy_from_slice(&other[&newest_file(&other)][begin..]);
    assert_eq!(open_with(&snapshot, &path, &bytes), Csn(ACKED));
}

#[test]
fn a_roll_cut_at_any_byte_of_seal_and_header_keeps_everything() {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    while running.log.stats().journal_files < 3 {
        running.run(1, 1);
    }
    running.drop_journal();
    let snapshot = snapshot(&storage);
    let newest = newest_file(&snapshot);
    let first: u64 = newest["journal/".len()..][..20].parse().unwrap();
    let sealed = snapshot.keys().filter(|path| **path < newest).max().unwrap().clone();
    let acked = Csn(first - 1);
    let header = &snapshot[&newest][..4096];
    let whole = &snapshot[&sealed];
    for cut in 0..=64 {
        // The seal was not synced: the next file has its header and nothing else.
        let mut before = snapshot.clone();
        let mut file = whole[..whole.len() - 64 + cut].to_vec();
        file.resize(whole.len() + 1000, 0);
        before.insert(sealed.clone(), file);
        before.insert(newest.clone(), header.to_vec());
        let running = Running::open(&restored(&before), settings()).unwrap();
        running.check().unwrap();
        assert_eq!(running.recovered.last_csn, acked, "seal cut at {cut}");
    }
    for cut in (0..4096).step_by(16) {
        // The next file's header was not synced; then there is no seal.
        let mut before = snapshot.clone();
        before.insert(sealed.clone(), whole[..whole.len() - 64].to_vec());
        let mut file = header[..cut].to_vec();
        file.resize(8192, 0);
        before.insert(newest.clone(), file);
        let running = Running::open(&restored(&before), settings()).unwrap();
        running.check().unwrap();
        assert_eq!(running.recovered.last_csn, acked, "header cut at {cut}");
    }
    // The first group of the next file, cut at every byte.
    let (entries, end) = entries_of(&snapshot[&newest]);
    for cut in entries[0].0..end {
        let mut before = snapshot.clone();
        let mut file = snapshot[&newest][..cut].to_vec();
        file.resize(snapshot[&newest].len(), 0);
        before.insert(newest.clone(), file);
        let running = Running::open(&restored(&before), settings()).unwrap();
        running.check().unwrap();
        assert!(running.recovered.last_csn >= acked, "first group cut at {cut}");
    }
}

/// Nothing is lost when the removal of a file that holds nothing is: it is removed again.
#[test]
fn files_that_hold_nothing_go_again_when_a_power_cut_brings_them_back() {
    let mut came_back = 0;
    for seed in 0..30 {
        let storage = restored(&with_unsynced_group(&one_file()));
        let dead = "journal/09999999999999999999-00000000000000000001.journal";
        storage.set_contents(dead, b"");
        let mut running = Running::open(&storage, one_file()).unwrap();
        assert_eq!(storage.contents(dead), None);
        running.drop_journal();
        storage.power_cut(seed);
        came_back += u64::from(storage.contents(dead).is_some());
        let running = Running::open(&storage, one_file()).unwrap();
        running.check().unwrap();
        assert_eq!(running.recovered.last_csn, Csn(ACKED + IN_FLIGHT));
        assert_eq!(storage.contents(dead), None);
    }
    assert!(came_back > 0, "the power cuts spared it");
}
