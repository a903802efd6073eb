//! WASI's clocks, and waiting on them.
//!
//! The wall clock stands at the time of the call. The monotonic clock begins there and moves on by
//! what the guest waits for, so that a program which sleeps and then looks sees that it slept. Time
//! passes for the guest alone: the thread goes on at once, and [`crate::meter`] counts the wait.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use logmill_model::Timestamp;
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::io::poll as ready_or_not;
use wasmtime_wasi::p2::bindings::sync::io::poll;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::host::Host;
use crate::offence::Offence;

const NANOS_PER_MS: u64 = 1_000_000;
const NEVER: u64 = u64::MAX;

/// The guest's monotonic time. Only its instance's thread reads or writes it; it is atomic because
/// pollables hold it too.
#[derive(Debug)]
pub(super) struct GuestTime {
    now_ns: AtomicU64,
    /// The earliest time that somebody was found waiting for.
    wanted_ns: AtomicU64,
}

impl GuestTime {
    pub(super) fn new(now: Timestamp) -> Self {
        let time = Self { now_ns: AtomicU64::new(0), wanted_ns: AtomicU64::new(NEVER) };
        time.set(now);
        time
    }

    pub(super) fn set(&self, now: Timestamp) {
        self.now_ns.store(now.0.saturating_mul(NANOS_PER_MS), Ordering::Relaxed);
    }

    fn now_ns(&self) -> u64 {
        self.now_ns.load(Ordering::Relaxed)
    }
}

/// A wait for a time.
struct Wait {
    until_ns: u64,
    time: Arc<GuestTime>,
}

impl Wait {
    fn poll_ready(&self) -> Poll<()> {
        if self.until_ns <= self.time.now_ns() {
            return Poll::Ready(());
        }
        self.time.wanted_ns.fetch_min(self.until_ns, Ordering::Relaxed);
        Poll::Pending
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Wait {
    async fn ready(&mut self) {
        poll_fn(|_| self.poll_ready()).await;
    }
}

/// What `future` has to say now: everything here is ready at once or never.
pub(super) fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_once(future.as_mut())
}

fn poll_once<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

impl Host {
    fn wait_until(&mut self, until_ns: u64) -> Result<Resource<DynPollable>> {
        let wasi = self.wasi();
        let wait = Wait { until_ns, time: Arc::clone(&wasi.time) };
        let wait = wasi.table.push(wait)?;
        subscribe(&mut wasi.table, wait)
    }

    /// Moves the guest's time to the next one that it waits for.
    fn pass_time(&mut self) -> Result<()> {
        let time = Arc::clone(&self.wasi().time);
        let wanted_ns = time.wanted_ns.swap(NEVER, Ordering::Relaxed);
        if wanted_ns == NEVER {
            return Err(Offence::WaitForever.into());
        }
        let wait_ns = wanted_ns.saturating_sub(time.now_ns());
        self.meter.wait(Duration::from_nanos(wait_ns))?;
        time.now_ns.store(wanted_ns, Ordering::Relaxed);
        Ok(())
    }
}

impl wall_clock::Host for Host {
    fn now(&mut self) -> Result<wall_clock::Datetime> {
        let nanoseconds = u32::try_from(self.now.0 % 1000).unwrap_or(0) * 1_000_000;
        Ok(wall_clock::Datetime { seconds: self.now.0 / 1000, nanoseconds })
    }

    fn resolution(&mut self) -> Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1_000_000 })
    }
}

impl monotonic_clock::Host for Host {
    fn now(&mut self) -> Result<u64> {
        Ok(self.wasi().time.now_ns())
    }

    fn resolution(&mut self) -> Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<DynPollable>> {
        self.wait_until(when)
    }

    fn subscribe_duration(&mut self, duration: u64) -> Result<Resource<DynPollable>> {
        let now_ns = self.wasi().time.now_ns();
        // One less than "never", which stands for "nobody waits".
        self.wait_until(now_ns.saturating_add(duration).min(NEVER - 1))
    }
}

impl poll::Host for Host {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
        loop {
            let borrowed = pollables.iter().map(|one| Resource::new_borrow(one.rep())).collect();
            let asked = now_or_never(ready_or_not::Host::poll(self.table(), borrowed));
            match asked {
                Some(ready) => return ready,
                None => self.pass_time()?,
            }
        }
    }
}

impl poll::HostPollable for Host {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> Result<bool> {
        let asked = now_or_never(ready_or_not::HostPollable::ready(self.table(), pollable));
        asked.unwrap_or(Ok(false))
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        loop {
            let borrowed = Resource::new_borrow(pollable.rep());
            let asked = now_or_never(ready_or_not::HostPollable::block(self.table(), borrowed));
            match asked {
                Some(done) => return done,
                None => self.pass_time()?,
            }
        }
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        ready_or_not::HostPollable::drop(self.table(), pollable)
    }
}
