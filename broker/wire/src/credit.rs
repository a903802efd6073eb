//! How much a broker may send to a subscriber.

/// The account of one subscription, kept by whoever sends. In bytes of data frames' bodies.
///
/// A frame may go when it fits beside what is outstanding, or when nothing is: a batch larger than
/// the whole window goes alone, so that a subscription always goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    window: u64,
    outstanding: u64,
}

impl Credit {
    /// The account of a subscription that was opened with this credit.
    #[must_use]
    pub fn new(window: u64) -> Self {
        Self { window: window.min(crate::limits::CREDIT_BYTES_MAX), outstanding: 0 }
    }

    /// What fits at once, in bytes; 0 when only a credit frame can help.
    #[must_use]
    pub fn available(&self) -> u64 {
        self.window.saturating_sub(self.outstanding)
    }

    /// Whether a data frame of this body may go now.
    #[must_use]
    pub fn allows(&self, body_bytes: u64) -> bool {
        self.outstanding == 0 || body_bytes <= self.available()
    }

    /// Notes that a data frame of this body goes.
    pub fn spend(&mut self, body_bytes: u64) {
        self.outstanding = self.outstanding.saturating_add(body_bytes);
    }

    /// Takes back what a credit frame returns. More than is outstanding counts for nothing.
    pub fn give_back(&mut self, bytes: u64) {
        self.outstanding = self.outstanding.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_bounds_what_is_outstanding() {
        let mut credit = Credit::new(100);
        credit.spend(60);
        assert!(credit.allows(40) && !credit.allows(41));
        credit.spend(40);
        assert!(!credit.allows(1));
        credit.give_back(60);
        assert_eq!(credit.available(), 60);
    }

    #[test]
    fn a_batch_larger_than_the_window_goes_alone() {
        let mut credit = Credit::new(10);
        assert!(credit.allows(1000));
        credit.spend(1000);
        assert!(!credit.allows(1));
        credit.give_back(999);
        assert!(credit.allows(9) && !credit.allows(10));
        credit.give_back(u64::MAX);
        assert_eq!(credit, Credit::new(10));
    }
}
