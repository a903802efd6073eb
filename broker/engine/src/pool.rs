//! The threads that guests run on: calls are synchronous, and none runs on the async runtime.
//!
//! There is a worker per core. When jobs wait and all workers have been busy for longer than a
//! slice, one more is added, up to a bound: a guest that computes for long then shares the cores
//! with its neighbours through the operating system's scheduler, instead of holding the queue.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, oneshot};

use crate::Error;
use crate::limits::{EXTRA_WORKERS_MAX, JOBS_MAX, SLICE};

type Job = Box<dyn FnOnce() + Send>;

/// A handle on the workers.
#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    waiting: Arc<Semaphore>,
}

struct Shared {
    state: Mutex<State>,
    /// A job was queued, or the pool was closed.
    work: Condvar,
    /// More jobs were queued than workers wait for, or the pool was closed.
    waits: Condvar,
    workers_kept: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    workers: usize,
    idle: usize,
    /// Jobs started so far: the monitor adds a worker only when none was started in a slice.
    started: u64,
    closed: bool,
}

impl Pool {
    /// Starts a worker per core and the monitor that adds more.
    pub(crate) fn start(cores: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            waits: Condvar::new(),
            workers_kept: cores.max(1),
        });
        for _ in 0..shared.workers_kept {
            shared.lock().workers += 1;
            Shared::spawn_worker(&shared)?;
        }
        let monitor = Arc::clone(&shared);
        std::thread::Builder::new().name("guest-monitor".into()).spawn(move || monitor.watch())?;
        Ok(Self { shared, waiting: Arc::new(Semaphore::new(JOBS_MAX)) })
    }

    /// How many workers there are at most.
    pub(crate) fn workers_max(&self) -> usize {
        self.shared.workers_kept + EXTRA_WORKERS_MAX
    }

    /// Runs a job on a worker and waits for what it returns.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`] when the pool is closed; [`Error::Panicked`] when the job was.
    pub(crate) async fn run<T, F>(&self, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.begin(job).await?.await
    }

    /// Has a job run on a worker; what it returns can be waited for.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`] when the pool is closed; later [`Error::Panicked`] when the job was.
    pub(crate) async fn begin<T, F>(
        &self,
        job: F,
    ) -> Result<impl Future<Output = Result<T, Error>> + use<T, F>, Error>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let permit =
            Arc::clone(&self.waiting).acquire_owned().await.map_err(|_| Error::ShuttingDown)?;
        let (answer, result) = oneshot::channel();
        self.shared.queue(Box::new(move || {
            drop(permit);
            // The caller may have gone; the job has run all the same.
            let _ = answer.send(job());
        }))?;
        let panicked = |_| Error::Panicked("a call of a module did not come to its end");
        Ok(async move { result.await.map_err(panicked) })
    }

    /// Lets the workers end when the queue is empty.
    pub(crate) fn close(&self) {
        self.waiting.close();
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
        self.shared.waits.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, job: Job) -> Result<(), Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::ShuttingDown);
        }
        state.jobs.push_back(job);
        // One that was told of the job before counts as idle until it has taken it.
        let waits = state.jobs.len() > state.idle;
        drop(state);
        self.work.notify_one();
        if waits {
            self.waits.notify_one();
        }
        Ok(())
    }

    fn spawn_worker(shared: &Arc<Self>) -> std::io::Result<()> {
        let worker = Arc::clone(shared);
        std::thread::Builder::new().name("guest".into()).spawn(move || worker.work())?;
        Ok(())
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.started += 1;
                drop(state);
                // A panic of the runtime is the job's end, seen by its caller, and not the pool's.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.lock();
            } else if state.closed || state.workers > self.workers_kept {
                state.workers -= 1;
                return;
            } else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }

    fn watch(self: Arc<Self>) {
        let mut state = self.lock();
        while !state.closed {
            if state.jobs.is_empty() {
                state = self.waits.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let started = state.started;
            (state, _) = self
                .waits
                .wait_timeout_while(state, SLICE, |state| !state.closed && state.started == started)
                .unwrap_or_else(PoisonError::into_inner);
            let stuck = !state.jobs.is_empty() && state.started == started && state.idle == 0;
            if stuck && state.workers < self.workers_kept + EXTRA_WORKERS_MAX {
                state.workers += 1;
                if let Err(error) = Self::spawn_worker(&self) {
                    state.workers -= 1;
                    tracing::warn!(%error, "no further thread for guests could be started");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[tokio::test]
    async fn a_job_that_holds_its_worker_does_not_hold_the_queue() {
        let pool = Pool::start(1).unwrap();
        let meet = Arc::new(Barrier::new(2));
        let other = Arc::clone(&meet);
        // Neither ends before both run: with one worker alone this would wait for ever.
        let (first, second) = tokio::join!(
            pool.run(move || meet.wait().is_leader()),
            pool.run(move || other.wait().is_leader())
        );
        assert!(first.unwrap() != second.unwrap());
        pool.close();
        assert!(pool.run(|| ()).await.is_err());
    }

    #[tokio::test]
    async fn a_job_that_panics_is_told_to_its_caller_and_leaves_the_pool_whole() {
        let pool = Pool::start(1).unwrap();
        let panicked = pool.run(|| assert!(std::hint::black_box(false), "on purpose")).await;
        assert!(matches!(panicked, Err(Error::Panicked(_))));
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
    }
}
