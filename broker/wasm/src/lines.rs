//! The lines that a guest writes during one call, within their bound.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use logmill_model::LogLevel;

/// What a line counts beyond its text, so that empty lines run out too.
const LINE_OVERHEAD_BYTES: u64 = 16;
/// How many of the last warnings are told of a trap: a language says in two or three lines what
/// went wrong.
const WARNINGS_MAX: usize = 3;
/// How much of each, in bytes.
const WARNING_BYTES_MAX: usize = 200;

/// The lines of one call, in order, until they are taken.
#[derive(Debug)]
pub(crate) struct Lines {
    lines: Vec<(LogLevel, String)>,
    bytes_max: u64,
    bytes: u64,
    dropped: u64,
    /// Lines of standard output and standard error that haven't ended.
    unfinished: [Vec<u8>; 2],
}

/// Where a guest that prints prints to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Printed {
    /// Standard output: lines of level `info`.
    Out,
    /// Standard error: lines of level `warn`.
    Err,
}

impl Printed {
    fn level(self) -> LogLevel {
        match self {
            Self::Out => LogLevel::Info,
            Self::Err => LogLevel::Warn,
        }
    }
}

/// The lines of an instance, which its printing streams hold too. Only the instance's thread locks
/// them, so that nobody ever waits.
#[derive(Debug, Clone)]
pub(crate) struct SharedLines(Arc<Mutex<Lines>>);

impl SharedLines {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self(Arc::new(Mutex::new(Lines::new(bytes_max))))
    }

    /// Lines have no invariant that a panic could break.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn new(bytes_max: u64) -> Self {
        Self {
            lines: Vec::new(),
            bytes_max,
            bytes: 0,
            dropped: 0,
            unfinished: [Vec::new(), Vec::new()],
        }
    }

    pub(crate) fn begin(&mut self) {
        self.lines.clear();
        self.bytes = 0;
        self.dropped = 0;
        self.unfinished.iter_mut().for_each(Vec::clear);
    }

    /// Keeps a line, what fits of it, or counts it as dropped.
    pub(crate) fn push(&mut self, level: LogLevel, mut text: String) {
        let room = self.bytes_max.saturating_sub(self.bytes + LINE_OVERHEAD_BYTES);
        if room == 0 {
            self.dropped += 1;
            return;
        }
        if text.len() as u64 > room {
            text.truncate(text.floor_char_boundary(room as usize));
            self.dropped += 1;
        }
        self.bytes += LINE_OVERHEAD_BYTES + text.len() as u64;
        self.lines.push((level, text));
    }

    /// Takes bytes that were printed: lines where they end, the rest when more comes or the call
    /// is over.
    pub(crate) fn print(&mut self, to: Printed, bytes: &[u8]) {
        let mut unfinished = mem::take(&mut self.unfinished[to as usize]);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = self.bytes_max.saturating_sub(self.bytes + unfinished.len() as u64);
            let fits = usize::try_from(room).unwrap_or(usize::MAX).min(part.len());
            unfinished.extend_from_slice(&part[..fits]);
            if part.ends_with(b"\n") {
                self.print_line(to, &unfinished);
                unfinished.clear();
            }
        }
        self.unfinished[to as usize] = unfinished;
    }

    fn print_line(&mut self, to: Printed, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        self.push(to.level(), text.trim_end_matches(['\n', '\r']).to_owned());
    }

    /// The last lines that say that something is wrong, as one short text.
    pub(crate) fn last_warnings(&self) -> String {
        let mut last: Vec<_> = self
            .lines
            .iter()
            .rev()
            .filter(|(level, _)| *level >= LogLevel::Warn)
            .flat_map(|(_, text)| text.lines().rev())
            .filter(|line| !line.trim().is_empty() && !line.contains("RUST_BACKTRACE"))
            .take(WARNINGS_MAX)
            .map(|line| &line[..line.floor_char_boundary(WARNING_BYTES_MAX)])
            .collect();
        last.reverse();
        last.join(" / ")
    }

    /// Ends the lines that were printed without an end.
    pub(crate) fn finish(&mut self) {
        for to in [Printed::Out, Printed::Err] {
            let unfinished = mem::take(&mut self.unfinished[to as usize]);
            if !unfinished.is_empty() {
                self.print_line(to, &unfinished);
            }
        }
    }

    /// Hands each line over, and one more when some were dropped.
    pub(crate) fn hand_over(&mut self, log: &mut dyn FnMut(LogLevel, &str)) {
        for (level, text) in self.lines.drain(..) {
            log(level, &text);
        }
        if self.dropped > 0 {
            let (dropped, max) = (self.dropped, self.bytes_max);
            log(
                LogLevel::Warn,
                &format!("{dropped} lines were cut or dropped: a call may log {max} bytes"),
            );
            self.dropped = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(lines: &mut Lines) -> Vec<(LogLevel, String)> {
        let mut all = Vec::new();
        lines.finish();
        lines.hand_over(&mut |level, text| all.push((level, text.to_owned())));
        all
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_one_line_says_so() {
        let mut lines = Lines::new(100);
        lines.push(LogLevel::Info, "a".repeat(50));
        lines.push(LogLevel::Info, "é".repeat(50));
        for _ in 0..1_000_000 {
            lines.push(LogLevel::Info, String::new());
        }
        let all = taken(&mut lines);
        assert_eq!(all[0].1, "a".repeat(50));
        assert_eq!(all[1].1, "é".repeat(9), "cut at the bound, not inside a character");
        assert_eq!(all.len(), 3, "the empty lines count too");
        assert_eq!(all[2].0, LogLevel::Warn);
        assert!(all[2].1.starts_with("1000001 lines were cut or dropped"), "{}", all[2].1);
        assert_eq!(taken(&mut lines), []);
    }

    #[test]
    fn what_is_printed_becomes_lines() {
        let mut lines = Lines::new(1000);
        lines.print(Printed::Out, b"one\ntw");
        lines.print(Printed::Err, b"bad \xff\r\n\nrest");
        lines.print(Printed::Out, b"o\n");
        assert_eq!(lines.last_warnings(), "bad \u{fffd}");
        let expected = [
            (LogLevel::Info, "one"),
            (LogLevel::Warn, "bad \u{fffd}"),
            (LogLevel::Warn, ""),
            (LogLevel::Info, "two"),
            (LogLevel::Warn, "rest"),
        ];
        assert_eq!(taken(&mut lines), expected.map(|(level, text)| (level, text.to_owned())));
    }

    #[test]
    fn a_line_without_an_end_is_bounded() {
        let mut lines = Lines::new(1000);
        for _ in 0..1000 {
            lines.print(Printed::Out, &[b'x'; 4096]);
        }
        let all = taken(&mut lines);
        assert!(all[0].1.len() <= 1000, "{}", all[0].1.len());
    }
}
