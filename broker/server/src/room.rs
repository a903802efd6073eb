//! Memory for batches between the network and the disk. It is taken before a batch is read, so that
//! producers that are faster than the disk wait in their own memory and not in the broker's.

use std::sync::Arc;

use logmill_model::limits::BATCH_BYTES_MAX;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits;

/// The room of one client, within the room of all.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    client: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

/// Room for one batch, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    client: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
}

/// The room of all clients together.
pub(crate) fn of_all(bytes: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)))
}

impl Room {
    /// The room of one more client.
    pub(crate) fn of_client(all: &Arc<Semaphore>) -> Self {
        let client = Arc::new(Semaphore::new(limits::PRODUCE_CLIENT_BYTES_MAX));
        Self { client, all: Arc::clone(all) }
    }

    /// Waits for room for the largest batch. Always the client's first and then that of all, a
    /// whole batch at once: nobody holds a part and waits for the rest.
    pub(crate) async fn reserve(&self) -> Reserved {
        let client = take(&self.client).await;
        let all = take(&self.all).await;
        Reserved { client, all }
    }
}

async fn take(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let bytes = u32::try_from(BATCH_BYTES_MAX).expect("a batch is far below 4 GiB");
    let taken = Arc::clone(semaphore).acquire_many_owned(bytes).await;
    taken.expect("this semaphore is never closed")
}

impl Reserved {
    /// Gives back what a batch of these bytes does not need.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        for permit in [&mut self.client, &mut self.all] {
            drop(permit.split(permit.num_permits().saturating_sub(bytes)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_batch_holds_what_it_needs_of_both_rooms_until_it_is_dropped() {
        let all = of_all(2 * BATCH_BYTES_MAX);
        let room = Room::of_client(&all);
        let mut first = room.reserve().await;
        first.shrink(1000);
        assert_eq!(all.available_permits(), 2 * BATCH_BYTES_MAX - 1000);
        assert_eq!(room.client.available_permits(), limits::PRODUCE_CLIENT_BYTES_MAX - 1000);
        let second = Room::of_client(&all).reserve().await;
        // Another whole batch does not fit beside the two, until one is dropped.
        let mut third = std::pin::pin!(room.reserve());
        tokio::select! {
            biased;
            _ = &mut third => panic!("there was no room"),
            () = tokio::task::yield_now() => {}
        }
        drop(first);
        let third = third.await;
        drop((second, third));
        assert_eq!(all.available_permits(), 2 * BATCH_BYTES_MAX);
    }
}
