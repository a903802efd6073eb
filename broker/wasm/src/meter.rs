//! Measures what a call has used, so that its deadline is about its own work.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::offence::Offence;

/// What one call has used of its deadline.
///
/// The epoch's callback visits once a millisecond while guest code runs, and reads the CPU time of
/// its thread: work in host calls is in it, and waiting for a core isn't. The clock is first read
/// at the first visit and not when the call begins, since the system call would cost short calls
/// more than the rest of their bookkeeping: a call may have up to a tick for nothing, or, when it
/// begins with one long instruction (a fill of its whole memory), that one.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    deadline: Duration,
    /// The thread's CPU time at the first visit.
    first_visit: Option<Duration>,
    /// Time that passed for the guest only: what it waited for by WASI's clock.
    waited: Duration,
}

impl Meter {
    pub(crate) fn begin(&mut self, deadline_ms: u64) {
        *self = Self { deadline: Duration::from_millis(deadline_ms), ..Self::default() };
    }

    /// Called by the epoch's callback.
    pub(crate) fn visit(&mut self) -> Result<(), Offence> {
        let now = thread_cpu_time();
        let first_visit = *self.first_visit.get_or_insert(now);
        let used = now.saturating_sub(first_visit).saturating_add(self.waited);
        if used > self.deadline {
            return Err(Offence::Deadline { deadline_ms: self.deadline_ms() });
        }
        Ok(())
    }

    /// Lets time pass for the guest without letting it pass for the thread.
    pub(crate) fn wait(&mut self, time: Duration) -> Result<(), Offence> {
        self.waited = self.waited.saturating_add(time);
        if self.waited > self.deadline {
            let wait_ms = u64::try_from(self.waited.as_millis()).unwrap_or(u64::MAX);
            return Err(Offence::Wait { wait_ms, deadline_ms: self.deadline_ms() });
        }
        Ok(())
    }

    fn deadline_ms(&self) -> u64 {
        u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX)
    }
}

/// What this thread has computed since it began.
fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;

    #[test]
    fn computing_is_used_up() {
        let mut meter = Meter::default();
        meter.begin(5);
        let mut work = 1u64;
        while meter.visit().is_ok() {
            for _ in 0..1000 {
                work = std::hint::black_box(work.wrapping_mul(3));
            }
        }
        assert_eq!(meter.visit(), Err(Offence::Deadline { deadline_ms: 5 }));
    }

    #[test]
    fn standing_still_is_not_used_up() {
        let mut meter = Meter::default();
        meter.begin(20);
        meter.visit().unwrap();
        let never = Mutex::new(());
        let timeout = Duration::from_millis(60);
        let woken = Condvar::new().wait_timeout_while(never.lock().unwrap(), timeout, |()| true);
        assert!(woken.unwrap().1.timed_out());
        assert_eq!(meter.visit(), Ok(()));
    }

    #[test]
    fn waits_add_up_to_the_deadline() {
        let mut meter = Meter::default();
        meter.begin(100);
        assert_eq!(meter.wait(Duration::from_millis(60)), Ok(()));
        assert_eq!(
            meter.wait(Duration::from_millis(60)),
            Err(Offence::Wait { wait_ms: 120, deadline_ms: 100 })
        );
        meter.begin(100);
        assert_eq!(meter.wait(Duration::from_millis(60)), Ok(()));
    }
}
