//! The envelopes of the newest entries, as a start reads them.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use harness::{Running, settings, values};
use logmill_log::faulty::FaultyStorage;
use logmill_model::{Csn, Offset, PartitionId};

fn envelopes_after(running: &Running, csn: u64) -> (Vec<(PartitionId, Csn, Offset)>, bool) {
    let mut shown = Vec::new();
    let mut visit = |partition, envelope: &logmill_model::Envelope| {
        shown.push((partition, envelope.csn, envelope.base_offset));
    };
    let is_whole = running.log.envelopes_after(Csn(csn), &mut visit).unwrap();
    (shown, is_whole)
}

fn check(running: &Running, newest: u64) {
    for csn in [0, 1, 123, newest - 1, newest] {
        let (shown, is_whole) = envelopes_after(running, csn);
        assert!(is_whole);
        let expected = (csn + 1..=newest).flat_map(|csn| {
            values(Csn(csn)).into_iter().map(move |(partition, _)| (partition, Csn(csn)))
        });
        let found: Vec<_> = shown.iter().map(|(partition, csn, _)| (*partition, *csn)).collect();
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}

#[test]
fn every_envelope_after_an_entry_is_shown_once_and_in_order_after_any_stop() {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    running.run(300, 10);
    running.close().unwrap();
    let mut again = Running::open(&storage, settings()).unwrap();
    check(&again, 300);
    again.run(50, 3);
    again.drop_journal();
    let again = Running::open(&storage, settings()).unwrap();
    assert!(again.recovered.unclean);
    check(&again, again.recovered.last_csn.0);
}
