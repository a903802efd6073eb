//! What modules wrote to their logs: the newest lines of each deployment, bounded in bytes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use logmill_model::{LogLevel, Message, ModuleLogLine, Timestamp};
use tokio::sync::Notify;

use crate::limits::MODULE_LOG_BYTES_MAX;

/// What a line takes besides its text, in bytes, roughly.
const LINE_OVERHEAD_BYTES: usize = 160;

/// The log of one deployment.
#[derive(Debug, Default)]
pub(crate) struct ModuleLog {
    lines: Mutex<Lines>,
    written: Notify,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<ModuleLogLine>,
    bytes: usize,
    next: u64,
}

impl ModuleLog {
    /// Adds a line; the oldest ones go when there are too many bytes.
    pub(crate) fn write(&self, ts: Timestamp, level: LogLevel, at: Option<&Message>, text: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = ModuleLogLine {
            sequence: lines.next,
            ts,
            level,
            topic: at.map(|message| message.topic.clone()),
            partition: at.map(|message| message.partition),
            offset: at.and_then(|message| message.offset),
            attempt: at.map(|message| message.attempt),
            text: text.to_owned(),
        };
        lines.next += 1;
        lines.bytes += LINE_OVERHEAD_BYTES + line.text.len();
        lines.kept.push_back(line);
        while lines.bytes > MODULE_LOG_BYTES_MAX {
            let Some(oldest) = lines.kept.pop_front() else { break };
            lines.bytes -= LINE_OVERHEAD_BYTES + oldest.text.len();
        }
        drop(lines);
        self.written.notify_waiters();
    }

    /// The lines after number `after` (None: from the oldest kept), at most `max`.
    pub(crate) fn read(&self, after: Option<u64>, max: usize) -> Vec<ModuleLogLine> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let first = after.map_or(0, |after| after.saturating_add(1));
        lines.kept.iter().filter(|line| line.sequence >= first).take(max).cloned().collect()
    }

    /// Like [`read`](Self::read), but waits until there is a line.
    pub(crate) async fn next(&self, after: Option<u64>, max: usize) -> Vec<ModuleLogLine> {
        loop {
            let written = self.written.notified();
            let mut written = std::pin::pin!(written);
            // Enabled before the look, so that a line written in between is not missed.
            written.as_mut().enable();
            let lines = self.read(after, max);
            if !lines.is_empty() {
                return lines;
            }
            written.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lines_go_when_there_are_too_many_bytes() {
        let log = ModuleLog::default();
        let text = "x".repeat(10_000);
        for ts in 0..1000 {
            log.write(Timestamp(ts), LogLevel::Info, None, &text);
        }
        let kept = log.read(None, usize::MAX);
        assert!((50..=104).contains(&kept.len()), "{}", kept.len());
        assert_eq!(kept.last().unwrap().sequence, 999);
        assert_eq!(log.read(Some(998), 10).len(), 1);
    }

    #[tokio::test]
    async fn a_reader_at_the_end_is_woken_by_the_next_line() {
        let log = ModuleLog::default();
        let (lines, ()) = tokio::join!(log.next(None, 10), async {
            tokio::task::yield_now().await;
            log.write(Timestamp(1), LogLevel::Warn, None, "odd");
        });
        assert_eq!(lines[0].text, "odd");
    }
}
