//! When each record had its outcome, and whether that was in order: of the records of one key in one
//! partition, no later one may have an outcome before an earlier one.

use std::collections::HashMap;

use logmill_model::{Offset, Timestamp};

/// The outcomes that have left something to be read.
#[derive(Debug, Default)]
pub(super) struct Timeline(Vec<Settled>);

/// A place in the log: topic, partition, offset.
pub(super) type Place = (String, u32, Offset);

/// That a record has its outcome.
#[derive(Debug, Clone)]
pub(super) struct Settled {
    /// Where it lay. Of a delivery that came again, the first one.
    pub(super) place: Place,
    pub(super) key: String,
    pub(super) at: Timestamp,
    /// The outcome after it was redriven: that has an order of its own.
    pub(super) is_redriven: bool,
    /// Its outputs, or its dead letter.
    pub(super) wrote: Vec<Place>,
}

/// How far the outcomes of one key are.
#[derive(Debug, Default)]
struct Front {
    at: Option<Timestamp>,
    /// The last offset that was written, by topic and partition.
    wrote: HashMap<(String, u32), Offset>,
}

impl Timeline {
    /// The outcomes of one consumer.
    pub(super) fn of(settled: impl IntoIterator<Item = Settled>) -> Self {
        Self(settled.into_iter().collect())
    }

    /// The records that have overtaken an earlier one of their key.
    pub(super) fn inversions(&self) -> Vec<String> {
        let mut in_order: Vec<&Settled> = self.0.iter().collect();
        in_order.sort_by(|a, b| a.place.cmp(&b.place));
        let mut fronts: HashMap<_, Front> = HashMap::new();
        let mut inversions = Vec::new();
        for it in in_order {
            let (topic, partition, offset) = &it.place;
            let front = fronts.entry((topic, partition, &it.key, it.is_redriven)).or_default();
            if !front.advance(it) {
                inversions.push(format!(
                    "{topic}/{partition} offset {offset} had its outcome before an earlier one of key {}",
                    it.key
                ));
            }
        }
        inversions
    }

    /// How many records of other keys, in the partition of this one, had their outcome in this time.
    pub(super) fn others_within(
        &self,
        place: &Place,
        key: &str,
        after: Timestamp,
        until: Timestamp,
    ) -> usize {
        let others = self.of_partition(place).filter(|it| it.key != key);
        others.filter(|it| after < it.at && it.at <= until).count()
    }

    /// How many later records of this key there are in the partition.
    pub(super) fn later_of_key(&self, place: &Place, key: &str) -> usize {
        let of_key = self.of_partition(place).filter(|it| it.key == key && !it.is_redriven);
        of_key.filter(|it| it.place.2 > place.2).count()
    }

    fn of_partition<'a>(&'a self, place: &'a Place) -> impl Iterator<Item = &'a Settled> {
        self.0.iter().filter(|it| it.place.0 == place.0 && it.place.1 == place.1)
    }
}

impl Front {
    /// Whether this one comes after all that came before.
    fn advance(&mut self, next: &Settled) -> bool {
        let mut is_later = self.at.is_none_or(|at| at <= next.at);
        for (topic, partition, offset) in &next.wrote {
            let last = self.wrote.insert((topic.clone(), *partition), *offset);
            is_later &= last.is_none_or(|last| last < *offset);
        }
        self.at = Some(next.at);
        is_later
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of a key at an offset, settled at a time, with an output at an offset.
    fn settled(key: &str, offset: u64, at: u64, wrote: u64) -> Settled {
        Settled {
            place: ("in".into(), 0, Offset(offset)),
            key: key.into(),
            at: Timestamp(at),
            is_redriven: false,
            wrote: vec![("out".into(), 0, Offset(wrote))],
        }
    }

    fn timeline<const N: usize>(settled: [Settled; N]) -> Timeline {
        Timeline(settled.into())
    }

    #[test]
    fn keys_may_overtake_one_another_and_records_of_a_key_may_not() {
        let a = settled("a", 1, 10, 5);
        for (what, other, inversions) in [
            ("a later one, later", settled("a", 2, 11, 6), 0),
            ("in the same entry", settled("a", 2, 10, 6), 0),
            ("another key", settled("b", 2, 9, 4), 0),
            ("too early", settled("a", 2, 9, 6), 1),
            ("behind in the topic", settled("a", 2, 10, 4), 1),
            ("an earlier one, too late", settled("a", 0, 11, 6), 1),
        ] {
            for both in [[a.clone(), other.clone()], [other.clone(), a.clone()]] {
                assert_eq!(timeline(both).inversions().len(), inversions, "{what}");
            }
        }
        let redriven = Settled { is_redriven: true, ..settled("a", 0, 11, 6) };
        assert_eq!(timeline([a, redriven]).inversions(), [""; 0]);
    }

    #[test]
    fn what_others_had_done_meanwhile_is_of_the_same_partition_and_time() {
        let elsewhere = Settled { place: ("in".into(), 1, Offset(3)), ..settled("b", 3, 15, 3) };
        let all = timeline([
            settled("a", 1, 20, 9),
            settled("b", 0, 10, 1),
            settled("b", 2, 11, 2),
            settled("c", 4, 20, 4),
            settled("c", 5, 21, 5),
            settled("a", 6, 22, 10),
            elsewhere,
        ]);
        let place = ("in".into(), 0, Offset(1));
        assert_eq!(all.others_within(&place, "a", Timestamp(10), Timestamp(20)), 2);
        assert_eq!(all.later_of_key(&place, "a"), 1);
    }
}
