//! Several places of a log are corrupt at once, whole files too: all that they did not hit is
//! served, and no offset is used twice.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use harness::rot::{accept, flip, flip_header, proven_end, reports};
use harness::survivors::Survivors;
use harness::{
    Running, Snapshot, entries_of, is_index, is_journal, mix, newest_file, restored, seeds,
    settings, snapshot, without_indexes,
};
use logmill_log::faulty::FaultyStorage;
use logmill_log::{Cost, Error};
use logmill_model::Csn;

const COMMITS: u64 = 30;

fn history(stop: impl FnOnce(&mut Running)) -> Snapshot {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    running.run(COMMITS, 1);
    stop(&mut running);
    snapshot(&storage)
}

fn csns(file: &[u8]) -> Vec<Csn> {
    entries_of(file).0.into_iter().map(|(_, csn)| csn).collect()
}

#[test]
fn two_or_three_flipped_bits_cost_no_more_than_the_entries_that_they_hit() {
    for seed in seeds(60) {
        let with_indexes = history(Running::drop_journal);
        let good =
            if seed.is_multiple_of(2) { with_indexes } else { without_indexes(&with_indexes) };
        let journals: Vec<&String> = good.keys().filter(|path| is_journal(path)).collect();
        let (mut bad, mut hit) = (good.clone(), Vec::new());
        for n in 0..2 + seed % 2 {
            let path = journals[usize::try_from(mix(seed, n)).unwrap() % journals.len()];
            let span = proven_end(&good, path) - 4096;
            let at = 4096 + usize::try_from(mix(seed, n + 10)).unwrap() % span;
            flip(&mut bad, path, at);
            let entries = entries_of(&good[path]).0;
            hit.push(entries.iter().rfind(|(begin, _)| *begin <= at).unwrap().1);
        }
        let storage = restored(&bad);
        let mut survivors = Survivors::of(COMMITS);
        for _ in 0..3 {
            let mut running = Running::open(&storage, settings()).unwrap();
            survivors.check(&running, &hit);
            survivors.go_on(&mut running, 2);
            survivors.check(&running, &hit);
            running.drop_journal();
            // Nothing that was acknowledged since is lost to a power cut either.
            storage.power_cut(seed);
        }
    }
}

#[test]
fn a_file_without_a_header_is_one_hole_and_all_others_are_served() {
    let good = history(Running::drop_journal);
    for snapshot in [&good, &without_indexes(&good)] {
        for path in snapshot.keys().filter(|path| is_journal(path)) {
            let mut bad = snapshot.clone();
            flip_header(&mut bad, path);
            let hit = csns(&snapshot[path]);
            let storage = restored(&bad);
            let mut survivors = Survivors::of(COMMITS);
            for _ in 0..2 {
                let mut running = Running::open(&storage, settings()).unwrap();
                let hole = running.log.corrupt().remove(0);
                assert_eq!((&hole.path, hole.position), (path, 0));
                assert!(hole.may_hide_partitions && hit.contains(&hole.csns.unwrap().first));
                survivors.check(&running, &hit);
                survivors.go_on(&mut running, 3);
                running.close().unwrap();
            }
            assert_eq!(storage.contents(path).as_ref(), bad.get(path), "it stays as it is");
        }
    }
}

#[test]
fn when_no_file_has_a_header_the_start_is_refused_and_changes_nothing() {
    let mut bad = history(Running::drop_journal);
    let paths: Vec<String> = bad.keys().filter(|path| is_journal(path)).cloned().collect();
    paths.iter().for_each(|path| flip_header(&mut bad, path));
    let storage = restored(&bad);
    let error = Running::open(&storage, settings()).err().unwrap();
    assert!(matches!(error, Error::Corrupt { position: 0, .. }), "{error}");
    assert_eq!(snapshot(&storage), bad);
}

#[test]
fn a_file_that_was_cut_short_loses_what_was_cut() {
    let good = history(Running::drop_journal);
    let paths: Vec<&String> = good.keys().filter(|path| is_journal(path)).collect();
    for path in &paths[..paths.len() - 1] {
        let (entries, _) = entries_of(&good[*path]);
        let (at, first) = entries[entries.len() / 2];
        let mut bad = good.clone();
        bad.get_mut(*path).unwrap().truncate(at + 10);
        let hit: Vec<Csn> = csns(&good[*path]).into_iter().filter(|csn| *csn >= first).collect();
        let mut running = Running::open(&restored(&bad), settings()).unwrap();
        let mut survivors = Survivors::of(COMMITS);
        survivors.check(&running, &hit);
        survivors.go_on(&mut running, 3);
        survivors.check(&running, &hit);
    }
}

/// A copy of a directory that was broken off: the index tells how much of the last file there was.
#[test]
fn a_last_file_that_is_shorter_than_its_index_says_has_lost_what_was_cut() {
    let good = history(|running| running.close().unwrap());
    let path = newest_file(&good);
    let (entries, _) = entries_of(&good[&path]);
    let (at, first) = entries[1];
    for cut in [at, at + 10, at + 200] {
        let mut bad = good.clone();
        bad.get_mut(&path).unwrap().truncate(cut);
        assert!(reports(&restored(&bad)).iter().any(|it| !it.findings.is_empty()), "{cut}");
        let hit: Vec<Csn> = csns(&good[&path]).into_iter().filter(|csn| *csn >= first).collect();
        let mut running = Running::open(&restored(&bad), settings()).unwrap();
        assert!(running.recovered.unclean);
        let hole = running.log.corrupt().remove(0);
        assert_eq!((&hole.path, hole.position), (&path, at as u64));
        let mut survivors = Survivors::of(COMMITS);
        survivors.check(&running, &hit);
        survivors.go_on(&mut running, 3);
        survivors.check(&running, &hit);
    }
    // All commits are there: a seal alone is missed by nobody.
    let mut bad = good;
    let seal = entries.last().unwrap().0;
    bad.get_mut(&path).unwrap().truncate(seal);
    let running = Running::open(&restored(&bad), settings()).unwrap();
    assert_eq!(running.log.corrupt(), []);
    running.check().unwrap();
}

/// The broker before stopped in order, so that its last file does not tell of a newer one.
#[test]
fn a_last_file_that_is_gone_is_told_by_its_index_and_can_be_accepted() {
    let storage = restored(&history(|running| running.close().unwrap()));
    let mut running = Running::open(&storage, settings()).unwrap();
    let (begin, mut survivors) = (running.next, Survivors::of(COMMITS));
    survivors.go_on(&mut running, 3);
    running.close().unwrap();
    let mut bad = snapshot(&storage);
    let path = newest_file(&bad);
    let hit = csns(&bad.remove(&path).unwrap());
    let storage = restored(&bad);
    let error = Running::open(&storage, settings()).err().unwrap();
    assert!(
        matches!(error, Error::Missing { first, place: "after", .. } if first == begin),
        "{error}"
    );
    assert_eq!(snapshot(&storage), bad, "nothing is changed");
    let findings: Vec<_> = reports(&storage).into_iter().flat_map(|it| it.findings).collect();
    assert!(findings.iter().any(|it| it.cost == Cost::Loss), "{findings:?}");

    accept(&storage);
    let mut running = Running::open(&storage, settings()).unwrap();
    assert!(running.next > *hit.last().unwrap(), "no number is used again");
    survivors.go_on(&mut running, 3);
}

#[test]
fn a_directory_without_its_journal_is_told_by_what_is_there() {
    let mut bad = history(|running| running.close().unwrap());
    bad.retain(|path, _| !is_journal(path));
    let storage = restored(&bad);
    let error = Running::open(&storage, settings()).err().unwrap();
    assert!(matches!(error, Error::JournalMissing { .. }), "{error}");
    assert_eq!(snapshot(&storage), bad, "nothing is changed");
    let findings: Vec<_> = reports(&storage).into_iter().flat_map(|it| it.findings).collect();
    assert_eq!(findings.iter().map(|it| it.cost).collect::<Vec<_>>(), [Cost::Refused]);
}

#[test]
fn what_is_in_a_file_without_a_header_is_kept_beside() {
    let mut files = history(|running| running.close().unwrap());
    let path = "journal/00000000000000000900-00000000000000000007.journal";
    files.insert(path.to_owned(), b"notes of somebody".to_vec());
    let storage = restored(&files);
    let findings: Vec<_> = reports(&storage).into_iter().flat_map(|it| it.findings).collect();
    let told: Vec<_> = findings.iter().map(|it| (it.path.as_str(), it.cost)).collect();
    assert_eq!(told, [(path, Cost::Nothing)]);
    let running = Running::open(&storage, settings()).unwrap();
    assert_eq!(running.log.corrupt(), []);
    running.check().unwrap();
    let after = snapshot(&storage);
    assert!(!after.contains_key(path));
    assert_eq!(after[&format!("{path}.torn")], b"notes of somebody");
}

#[test]
fn verify_finds_nothing_in_a_sound_directory() {
    for stop in [Running::drop_journal as fn(&mut Running), |running| running.close().unwrap()] {
        let good = history(stop);
        let reports = reports(&restored(&good));
        assert_eq!(reports.iter().flat_map(|it| &it.findings).next(), None);
        let made_ahead = good.keys().filter(|path| path.contains("ahead-")).count();
        assert_eq!(reports.len(), good.len() - made_ahead);
    }
}

/// In a directory that was closed well, every bit but those of the last seal counts.
#[test]
fn verify_names_file_and_place_of_every_flipped_bit() {
    let good = history(|running| running.close().unwrap());
    let mut flips = 0;
    for (path, bytes) in &good {
        let end = if is_index(path) { bytes.len() } else { proven_end(&good, path) };
        for at in (0..end).step_by(61) {
            let mut bad = good.clone();
            flip(&mut bad, path, at);
            let reports = reports(&restored(&bad));
            let mut findings = reports.iter().flat_map(|it| &it.findings);
            let found = findings.find(|it| it.path == *path);
            let found = found.unwrap_or_else(|| panic!("bit at {at} of {path} is not found"));
            assert!(found.position <= at as u64, "{} is told for {at}", found.position);
            flips += 1;
        }
    }
    assert!(flips > 1000, "{flips} flips");
}
