//! All inputs of a source, packed: there may be millions.

use std::collections::HashMap;

use logmill_client::Record;
use logmill_model::Order;

use super::{Compared, Difference, Found, Verb, place, verb};

/// The number of no key.
const NO_KEY: u32 = u32::MAX;

/// An input, and what was found of it so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input {
    pub(super) id: u64,
    pub(super) offset: u64,
    /// The commit of its outcome; 0 while none was found.
    pub(super) csn: u64,
    pub(super) partition: u32,
    /// The number of its key.
    pub(super) key: u32,
    pub(super) verb: Verb,
    pub(super) outputs: u8,
    pub(super) letters: u8,
    /// Whether its producer knows of it.
    pub(super) is_told: bool,
}

const _: () = assert!(size_of::<Input>() == 40, "what a million of them take is promised");

impl Input {
    pub(super) fn place(&self, source: &str) -> String {
        place(source, self.partition, self.offset)
    }

    /// With which inputs it keeps its order; None when with none.
    pub(super) fn group(&self, order: Order) -> Option<u64> {
        let within = match order {
            Order::Partition => NO_KEY,
            Order::Key if self.key == NO_KEY => return None,
            Order::Key => self.key,
        };
        Some(u64::from(self.partition) << 32 | u64::from(within))
    }
}

/// The inputs of a source.
#[derive(Debug, Default)]
pub struct Inputs {
    all: Vec<Input>,
    /// Each key and its number.
    keys: HashMap<Box<[u8]>, u32>,
    /// Where there are records that are no inputs.
    foreign: Vec<String>,
}

impl Inputs {
    /// With room for so many, so that they are never moved.
    #[must_use]
    pub fn with_room_for(inputs: usize) -> Self {
        Self { all: Vec::with_capacity(inputs), ..Self::default() }
    }

    /// Takes a record of the source.
    pub fn add(&mut self, found: &Found<'_>) {
        let Some((id, verb)) = verb::read(found.record) else {
            self.foreign.push(found.place());
            return;
        };
        let key = match &found.record.key {
            None => NO_KEY,
            Some(key) => {
                let next = u32::try_from(self.keys.len()).expect("fewer keys than records");
                *self.keys.entry(key[..].into()).or_insert(next)
            }
        };
        let Found { partition, offset, .. } = *found;
        let (csn, outputs, letters, is_told) = Default::default();
        self.all.push(Input { id, offset, csn, partition, key, verb, outputs, letters, is_told });
    }

    /// Puts them where they are found by their ids, which they must have alone.
    pub(super) fn index(&mut self, source: &str, compared: &mut Compared) {
        for at in self.foreign.drain(..) {
            compared.add(Difference::Foreign { at });
        }
        self.all.sort_unstable_by_key(|it| (it.id, it.partition, it.offset));
        self.all.dedup_by(|again, first| {
            let is_again = again.id == first.id;
            if is_again {
                let (at, again) = (first.place(source), again.place(source));
                compared.add(Difference::DoubledInput { id: first.id, at, again });
            }
            is_again
        });
    }

    /// The input of this id. They must be indexed.
    pub(super) fn find(&mut self, id: u64) -> Option<&mut Input> {
        let at = self.all.binary_search_by_key(&id, |it| it.id).ok()?;
        self.all.get_mut(at)
    }

    /// The number of a record's key; None when no input has that key.
    pub(super) fn key(&self, record: &Record) -> Option<u32> {
        match &record.key {
            None => Some(NO_KEY),
            Some(key) => self.keys.get(&key[..]).copied(),
        }
    }

    pub(super) fn all(&self) -> &[Input] {
        &self.all
    }

    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Puts them in the order of the source. They are not found by their ids then.
    pub(super) fn in_order_of_source(&mut self) {
        self.all.sort_unstable_by_key(|it| (it.partition, it.offset));
    }
}
