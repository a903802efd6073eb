//! Latencies, and what is told of them.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Three digits are kept of each.
const DIGITS: u8 = 3;

/// How long things took, in nanoseconds.
#[derive(Debug, Clone)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Self {
        Self(Histogram::new(DIGITS).expect("three digits are between 0 and 5"))
    }

    /// Counts as many things that took this long.
    pub(super) fn record(&mut self, latency: Duration, times: u64) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        // Its counts grow with what is recorded; only memory could end that.
        let _ = self.0.record_n(ns, times);
    }

    pub(super) fn add(&mut self, other: &Self) {
        // As above.
        let _ = self.0.add(&other.0);
    }

    fn us(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile).div_ceil(1000)
    }

    /// What is told, if there is something to tell.
    pub(super) fn middle_and_tail(&self) -> Option<Tail> {
        (!self.0.is_empty()).then(|| Tail { p50: self.us(0.5), p99: self.us(0.99) })
    }

    /// What is told of the work itself.
    pub(super) fn percentiles(&self) -> Percentiles {
        Percentiles {
            p50: self.us(0.5),
            p90: self.us(0.9),
            p99: self.us(0.99),
            p999: self.us(0.999),
            max: self.us(1.0),
        }
    }
}

/// In microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: u64,
    pub(super) p90: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
    pub(super) max: u64,
}

/// In microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Tail {
    pub(super) p50: u64,
    pub(super) p99: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_count_records_and_keep_three_digits() {
        let mut fast = Latencies::new();
        fast.record(Duration::from_micros(100), 900);
        fast.record(Duration::from_micros(200), 90);
        let mut slow = Latencies::new();
        slow.record(Duration::from_millis(5), 9);
        slow.record(Duration::from_secs(2), 1);
        fast.add(&slow);
        let Percentiles { p50, p90, p99, p999, max } = fast.percentiles();
        for (found, expected) in
            [(p50, 100), (p90, 100), (p99, 200), (p999, 5000), (max, 2_000_000)]
        {
            assert!(found >= expected && found <= expected + expected / 500 + 1, "{found}");
        }
        assert_eq!(fast.middle_and_tail().map(|it| it.p50), Some(p50));
        assert_eq!(Latencies::new().middle_and_tail(), None);
    }
}
