//! The thread that moves the epoch while guests run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::EngineWeak;

/// How often a running guest is looked at.
const TICK: Duration = Duration::from_millis(1);
/// For how many ticks without a guest the thread stays awake, so that a busy worker, which is
/// between two calls now and then, needn't wake it each time.
const IDLE_TICKS: u32 = 20;

/// Ticks once a millisecond while a guest runs, and sleeps otherwise.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    running: AtomicUsize,
    /// Set by the thread before it looks at `running` for the last time, read by who runs after
    /// `running` is raised: one of the two sees the other.
    asleep: AtomicBool,
    stopped: AtomicBool,
}

impl Ticker {
    pub(crate) fn start(engine: EngineWeak) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            running: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new().name("wasm-epoch".to_owned()).spawn(move || {
            of_thread.tick_while_running(&engine);
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Keeps the epoch moving until the guard is dropped.
    pub(crate) fn run(&self) -> Running<'_> {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
        Running(&self.shared)
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the epoch's thread panicked");
        }
    }
}

/// A guest that runs.
pub(crate) struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn tick_while_running(&self, engine: &EngineWeak) {
        let mut idle_ticks = 0;
        while !self.stopped.load(Ordering::SeqCst) {
            if self.running.load(Ordering::SeqCst) > 0 {
                idle_ticks = 0;
            } else {
                idle_ticks += 1;
            }
            if idle_ticks > IDLE_TICKS {
                self.sleep();
                idle_ticks = 0;
                continue;
            }
            thread::park_timeout(TICK);
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
        }
    }

    /// Returns when a guest runs, or the ticker is stopped.
    fn sleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        while self.running.load(Ordering::SeqCst) == 0 && !self.stopped.load(Ordering::SeqCst) {
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use wasmtime::{Config, Engine};

    use super::*;

    fn wait_for(what: impl Fn() -> bool) {
        let began = Instant::now();
        while !what() {
            assert!(began.elapsed() < Duration::from_secs(30), "it never happened");
            thread::yield_now();
        }
    }

    #[test]
    fn the_thread_sleeps_when_no_guest_runs_and_wakes_for_one() {
        let engine = Engine::new(Config::new().epoch_interruption(true)).unwrap();
        let ticker = Ticker::start(engine.weak()).unwrap();
        let asleep = || ticker.shared.asleep.load(Ordering::SeqCst);
        for _ in 0..3 {
            wait_for(asleep);
            let one = ticker.run();
            let two = ticker.run();
            wait_for(|| !asleep());
            drop(one);
            // Longer than it stays awake without a guest.
            let began = Instant::now();
            while began.elapsed() < TICK * (IDLE_TICKS + 20) {
                assert!(!asleep(), "the second guest still runs");
                thread::yield_now();
            }
            drop(two);
        }
    }
}
