//! Where a time or an amount of data begins in a partition.

use logmill_model::{Offset, Timestamp};

use super::{Partition, State};
use crate::span::{Stretch, bytes_from, points_around};

/// Where the first batch of a time or later lies.
#[derive(Debug)]
pub(crate) enum AtTime {
    /// It begins at this offset, or there is none and this is the end.
    Known(Offset),
    /// It is in here.
    In(Stretch),
}

/// Where the newest bytes begin.
#[derive(Debug)]
pub(crate) enum Kept {
    /// At this offset.
    From(Offset),
    /// In here, and all of it but this much must be kept.
    In { stretch: Stretch, base: Offset, spare_bytes: u64 },
}

impl Partition {
    pub(crate) fn at_time(&self, time: Timestamp) -> AtTime {
        self.read().at_time(time)
    }

    pub(crate) fn kept(&self, bytes: u64) -> Kept {
        self.read().kept(bytes)
    }

    /// The bytes of its batches from the start on. In the file where it starts, all batches count
    /// as if they were of one size.
    pub(crate) fn bytes(&self) -> u64 {
        let state = self.read();
        let start = state.start();
        let spans = state.spans.iter().map(|span| (span.base, span.end, span.bytes));
        let growing = state.growing.iter().map(|it| (it.index.base, it.index.end, it.index.bytes));
        spans.chain(growing).map(|(base, end, bytes)| bytes_from(start, base, end, bytes)).sum()
    }
}

impl State {
    fn at_time(&self, time: Timestamp) -> AtTime {
        let first = self.spans.partition_point(|span| span.last_time < time);
        if let Some(span) = self.spans.get(first) {
            if span.first_time >= time {
                return AtTime::Known(span.base.max(self.start()));
            }
            return AtTime::In(Stretch::from(span));
        }
        match &self.growing {
            Some(growing) if growing.index.first_time >= time => {
                AtTime::Known(growing.index.base.max(self.start()))
            }
            Some(growing) if growing.index.last_time >= time => {
                AtTime::In(growing.stretch(points_around(&growing.index.points, time)))
            }
            _ => AtTime::Known(self.end),
        }
    }

    fn kept(&self, bytes: u64) -> Kept {
        if bytes == 0 {
            return Kept::From(self.end);
        }
        let mut newer = 0;
        if let Some(growing) = &self.growing {
            newer = growing.index.bytes;
            if newer >= bytes {
                let (stretch, base) = (growing.stretch(&growing.index.points), growing.index.base);
                return Kept::In { stretch, base, spare_bytes: newer - bytes };
            }
        }
        for span in self.spans.iter().rev() {
            newer += span.bytes;
            if newer >= bytes {
                let (stretch, base) = (Stretch::from(span), span.base);
                return Kept::In { stretch, base, spare_bytes: newer - bytes };
            }
        }
        Kept::From(self.start())
    }
}
