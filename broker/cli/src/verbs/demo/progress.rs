//! How far something is: a bar on a terminal, plain lines elsewhere.

use indicatif::{ProgressBar, ProgressStyle};

use crate::terminal;

/// Plain lines tell of each of so many parts.
const PARTS: u64 = 4;

pub(super) struct Progress {
    bar: ProgressBar,
    what: &'static str,
    total: u64,
    next: u64,
}

impl Progress {
    pub(super) fn new(what: &'static str, total: u64) -> Self {
        let style =
            ProgressStyle::with_template("  {prefix} {wide_bar} {human_pos} of {human_len}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(total).with_style(style).with_prefix(what);
        Self { bar, what, total, next: total.div_ceil(PARTS) }
    }

    pub(super) fn set(&mut self, done: u64) {
        self.bar.set_position(done);
        if self.bar.is_hidden() && done >= self.next {
            terminal::note(&format!("  {done} of {} {}", self.total, self.what));
            let part = self.total.div_ceil(PARTS).max(1);
            self.next = (done / part + 1) * part;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
