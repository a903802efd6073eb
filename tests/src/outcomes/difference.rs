//! What a comparison finds.

use logmill_client::Counts;
use serde::{Deserialize, Serialize};

use super::Wanted;
use super::input::Input;

/// More are counted and not told: whoever has a thousand needs no more.
const TOLD_MAX: usize = 1000;

/// Something that is not as it has to be. Places are `TOPIC/PARTITION@OFFSET`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "difference", rename_all = "kebab-case")]
pub enum Difference {
    /// An input was acknowledged and is not there.
    LostInput { id: u64, at: String },
    /// It lies elsewhere.
    MovedInput { id: u64, told: String, at: String },
    /// It is there twice.
    DoubledInput { id: u64, at: String, again: String },
    /// A record that nobody sent, or an outcome of nothing.
    Foreign { at: String },
    /// Not the value or the key of its input.
    Altered { id: u64, at: String },
    /// Too few outputs.
    MissingOutput { id: u64, wanted: u8, found: u8 },
    /// Too many of them.
    DoubledOutput { id: u64, wanted: u8, found: u8 },
    /// No dead letter.
    MissingLetter { id: u64 },
    /// Too many of them.
    DoubledLetter { id: u64, wanted: u8, found: u8 },
    /// A dead letter of another reason.
    WrongReason { id: u64, wanted: String, found: String },
    /// After more or fewer attempts.
    WrongAttempts { id: u64, wanted: u32, found: u32 },
    /// A dead letter that says it came from elsewhere, or is of another deployment.
    WrongSource { id: u64, wanted: String, found: String },
    /// An outcome that came behind that of a later input.
    Inversion { id: u64, at: String, behind: String },
    /// A count of the deployment.
    Count { name: String, wanted: u64, found: u64 },
    /// So many records have no outcome yet.
    Unsettled { lag: u64 },
}

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Inputs in the source.
    pub inputs: u64,
    /// Keys that they have.
    pub keys: u64,
    /// Inputs that were acknowledged.
    pub acked: u64,
    /// Inputs whose answer was cut off.
    pub unknown: u64,
    /// Outputs.
    pub outputs: u64,
    /// Dead letters.
    pub letters: u64,
    /// What is not as it has to be.
    pub differences: u64,
}

impl Summary {
    pub(super) fn count_told(&mut self, is_acked: bool) {
        if is_acked {
            self.acked += 1;
        } else {
            self.unknown += 1;
        }
    }
}

/// The end of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compared {
    /// What was compared.
    pub summary: Summary,
    /// The first differences.
    pub differences: Vec<Difference>,
}

impl Compared {
    pub(super) fn add(&mut self, difference: Difference) {
        self.summary.differences += 1;
        if self.differences.len() < TOLD_MAX {
            self.differences.push(difference);
        }
    }

    /// Compares how many outcomes an input has.
    pub(super) fn compare(&mut self, input: &Input, wanted: &Wanted) {
        let (id, letters) = (input.id, u8::from(wanted.letter.is_some()));
        self.summary.outputs += u64::from(input.outputs);
        self.summary.letters += u64::from(input.letters);
        let (wanted, found) = (wanted.outputs, input.outputs);
        if found < wanted {
            self.add(Difference::MissingOutput { id, wanted, found });
        } else if found > wanted {
            self.add(Difference::DoubledOutput { id, wanted, found });
        }
        let (wanted, found) = (letters, input.letters);
        if found < wanted {
            self.add(Difference::MissingLetter { id });
        } else if found > wanted {
            self.add(Difference::DoubledLetter { id, wanted, found });
        }
    }

    /// Compares each count by its name, so that none is forgotten.
    pub(super) fn compare_counts(&mut self, wanted: &Counts, found: &Counts) {
        let named = |counts: &Counts| serde_json::to_value(counts).expect("counts are numbers");
        let (wanted, found) = (named(wanted), named(found));
        for (name, wanted) in wanted.as_object().into_iter().flatten() {
            let wanted = wanted.as_u64().unwrap_or_default();
            let found = found[name].as_u64().unwrap_or_default();
            if wanted != found {
                self.add(Difference::Count { name: name.clone(), wanted, found });
            }
        }
    }
}
