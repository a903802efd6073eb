//! Points of sealed files that were needed lately, bounded in bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use logmill_model::PartitionId;

use crate::index::Point;

/// What the points of a partition in a file cost beside themselves, in bytes.
const OVERHEAD_BYTES: usize = 192;

type Key = (u64, PartitionId);

#[derive(Debug, Default)]
struct State {
    /// With the count at which they were used last.
    points: HashMap<Key, (Arc<[Point]>, u64)>,
    /// From the one that was not used for longest.
    order: BTreeMap<u64, Key>,
    uses: u64,
    bytes: usize,
}

/// Points by file and partition. Those that were not used for longest go first.
#[derive(Debug)]
pub(crate) struct PointsCache {
    state: Mutex<State>,
    bytes_max: usize,
}

impl PointsCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { state: Mutex::default(), bytes_max }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, file: u64, partition: PartitionId) -> Option<Arc<[Point]>> {
        let mut state = self.state();
        state.uses += 1;
        let now = state.uses;
        let (points, used) = state.points.get_mut(&(file, partition))?;
        let points = Arc::clone(points);
        let before = std::mem::replace(used, now);
        state.order.remove(&before);
        state.order.insert(now, (file, partition));
        Some(points)
    }

    /// Keeps points, if they fit, and hands them back.
    pub(crate) fn put(
        &self,
        file: u64,
        partition: PartitionId,
        points: Vec<Point>,
    ) -> Arc<[Point]> {
        let points: Arc<[Point]> = points.into();
        let bytes = cost(&points);
        if bytes > self.bytes_max {
            return points;
        }
        let mut state = self.state();
        state.uses += 1;
        let now = state.uses;
        state.bytes += bytes;
        if let Some((old, used)) =
            state.points.insert((file, partition), (Arc::clone(&points), now))
        {
            state.order.remove(&used);
            state.bytes -= cost(&old);
        }
        state.order.insert(now, (file, partition));
        while state.bytes > self.bytes_max {
            let Some((_, key)) = state.order.pop_first() else { break };
            if let Some((old, _)) = state.points.remove(&key) {
                state.bytes -= cost(&old);
            }
        }
        points
    }
}

fn cost(points: &[Point]) -> usize {
    OVERHEAD_BYTES + size_of_val(points)
}

#[cfg(test)]
mod tests {
    use logmill_model::{Offset, Timestamp, TopicId};

    use super::*;

    fn points(count: u64) -> Vec<Point> {
        let point = |n| Point { base: Offset(n), time: Timestamp(n), position: 0, bytes: 1 };
        (0..count).map(point).collect()
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first_and_the_bytes_stay_bounded() {
        let partition = PartitionId::new(TopicId(16), 0);
        let ten = OVERHEAD_BYTES + 240;
        let cache = PointsCache::new(3 * ten);
        for file in 0..3 {
            cache.put(file, partition, points(10));
        }
        assert_eq!(cache.get(0, partition).unwrap().len(), 10);
        cache.put(3, partition, points(10));
        assert!(cache.get(1, partition).is_none());
        for file in [0, 2, 3] {
            assert!(cache.get(file, partition).is_some(), "{file}");
        }
        cache.put(3, partition, points(9));
        assert_eq!(cache.state().bytes, 3 * ten - 24);
        assert_eq!(cache.put(4, partition, points(1000)).len(), 1000);
        assert!(cache.get(4, partition).is_none(), "larger than all the cache");
        let state = cache.state();
        assert_eq!((state.points.len(), state.order.len()), (3, 3));
    }
}
