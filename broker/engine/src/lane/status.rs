//! What a lane is doing, for whoever asks.

use std::sync::PoisonError;

use logmill_model::LostOffsets;

use super::Lane;

/// What a lane is doing, for whoever asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct LaneStatus {
    pub(crate) in_flight: u64,
    pub(crate) waiting: Option<String>,
    pub(crate) is_corrupt: bool,
    /// The offsets of its source that can't be read.
    pub(crate) lost: Option<LostOffsets>,
}

impl LaneStatus {
    /// It stands still, since something that it needs can't be read.
    pub(crate) fn corrupt(why: String, lost: Option<LostOffsets>) -> Self {
        Self { in_flight: 0, waiting: Some(why), is_corrupt: true, lost }
    }
}

impl Lane {
    /// Says how many records it is handling.
    pub(super) fn begin(&self, in_flight: u64) {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).in_flight = in_flight;
    }

    /// Says what the lane is doing; a new reason to wait also goes to the broker's log.
    pub(super) fn report(&self, in_flight: u64, waiting: Option<String>) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = &waiting
            && status.waiting != waiting
        {
            tracing::warn!(why, "the lane waits");
        }
        *status = LaneStatus { in_flight, waiting, ..LaneStatus::default() };
    }

    pub(super) fn report_corrupt(&self, why: String, lost: Option<LostOffsets>) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if !status.is_corrupt {
            tracing::error!(why, "the lane stands still");
        }
        *status = LaneStatus::corrupt(why, lost);
    }
}
