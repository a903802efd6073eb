//! Reads sealed files at a bounded rate, so that rot is found before somebody needs what it hit.
//!
//! One thread. It remembers nothing on disk, changes nothing, and begins anew some time after it has
//! read everything.

use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Error;
use crate::file_check::FileCheck;
use crate::log_file::LogFile;
use crate::visible::Visible;

/// From the end of one pass over all files to the begin of the next.
const PAUSE: Duration = Duration::from_secs(3600);
/// What is read between two waits, in bytes, as far as entries allow.
const CHUNK_BYTES: u64 = 256 * 1024;

/// The scrubber's thread. It ends, at once, when this is stopped or dropped.
#[derive(Debug)]
pub struct Scrubber {
    stop: Arc<Stop>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Stop {
    stopped: Mutex<bool>,
    wake: Condvar,
}

impl Stop {
    /// Waits so long, or until it is told to stop: breaks then.
    fn wait(&self, time: Duration) -> ControlFlow<()> {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(stopped, time, |stopped| !*stopped);
        let (stopped, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Scrubber {
    /// Starts it; does nothing at a rate of 0.
    pub(crate) fn start(visible: Arc<Visible>, bytes_per_second: u64) -> std::io::Result<Self> {
        let stop = Arc::<Stop>::default();
        let mut thread = None;
        if bytes_per_second > 0 {
            let stop = Arc::clone(&stop);
            let run = move || while pass(&visible, bytes_per_second, &stop).is_continue() {};
            let builder = std::thread::Builder::new().name("logmill-scrubber".to_owned());
            thread = Some(builder.spawn(run)?);
        }
        Ok(Self { stop, thread: Mutex::new(thread) })
    }

    /// Ends it.
    pub fn stop(&self) {
        *self.stop.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.wake.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It holds nothing that a panic could have broken.
            let _ = thread.join();
        }
    }
}

impl Drop for Scrubber {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Reads all sealed files once; breaks when it is told to stop.
fn pass(visible: &Visible, bytes_per_second: u64, stop: &Stop) -> ControlFlow<()> {
    let mut throttle = Throttle { bytes_per_second, bytes: 0, stop };
    for sealed in visible.sealed.all() {
        let file = sealed.file;
        match scrub(visible, &file, &mut throttle) {
            Ok(flow) => flow?,
            Err(error) => tracing::warn!(path = file.path, %error, "a file can't be scrubbed"),
        }
    }
    stop.wait(PAUSE)
}

fn scrub(
    visible: &Visible,
    file: &Arc<LogFile>,
    throttle: &mut Throttle<'_>,
) -> Result<ControlFlow<()>, Error> {
    let mut window = file.window(visible.files.open(file)?);
    let take = |_, head: &crate::entry::Head, _: &bytes::Bytes| throttle.take(head.header.length);
    let Some(checked) = FileCheck::of(&mut window, &file.path, &file.header, take)? else {
        return Ok(ControlFlow::Break(()));
    };
    checked.holes.into_iter().for_each(|hole| visible.found(hole));
    Ok(ControlFlow::Continue(()))
}

/// Waits so that no more than a rate is read.
struct Throttle<'a> {
    bytes_per_second: u64,
    bytes: u64,
    stop: &'a Stop,
}

impl Throttle<'_> {
    fn take(&mut self, bytes: u32) -> ControlFlow<()> {
        self.bytes += u64::from(bytes);
        if self.bytes < CHUNK_BYTES.min(self.bytes_per_second) {
            return ControlFlow::Continue(());
        }
        let micros = std::mem::take(&mut self.bytes).saturating_mul(1_000_000);
        self.stop.wait(Duration::from_micros(micros / self.bytes_per_second))
    }
}
