//! How much room the broker's disk has, and what is still taken in.
//!
//! | level | records, outputs, dead letters | cursors, retries, drops | what frees space |
//! |---|---|---|---|
//! | `Normal` | yes | yes | yes |
//! | `Full` | no | yes | yes |
//! | `Critical` | no | no | yes |

use serde::{Deserialize, Serialize};

/// What a commit is for: what is refused first when the disk runs full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CommitClass {
    /// It brings records: of producers, or outputs and dead letters of modules.
    #[default]
    Produce,
    /// It moves work on that was taken in before, and is small: cursors, failed attempts, drops.
    Progress,
    /// It wins space back, or an operator needs it to do so.
    Housekeeping,
}

/// How much room the disk has.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum SpaceLevel {
    /// Enough for all.
    #[default]
    Normal,
    /// No records are taken in. What is there is worked on.
    Full,
    /// Only what frees space goes on.
    Critical,
}

impl SpaceLevel {
    /// Whether a commit of this class is taken in.
    #[must_use]
    pub fn admits(self, class: CommitClass) -> bool {
        match class {
            CommitClass::Produce => self == Self::Normal,
            CommitClass::Progress => self != Self::Critical,
            CommitClass::Housekeeping => true,
        }
    }

    /// Its name, as the documents say it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Full => "full",
            Self::Critical => "critical",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_refuses_one_class_more() {
        use CommitClass::{Housekeeping, Produce, Progress};
        let admitted =
            |level: SpaceLevel| [Produce, Progress, Housekeeping].map(|class| level.admits(class));
        assert_eq!(admitted(SpaceLevel::Normal), [true, true, true]);
        assert_eq!(admitted(SpaceLevel::Full), [false, true, true]);
        assert_eq!(admitted(SpaceLevel::Critical), [false, false, true]);
    }
}
