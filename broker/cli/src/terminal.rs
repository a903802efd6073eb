//! What goes to and comes from the person at the terminal, beside stdout.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use crate::Failure;

/// How often a progress line moves while nothing happens.
const TICK: Duration = Duration::from_millis(120);

/// Whether somebody is there to be asked.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Tells something on stderr. Without a stderr there is nobody to tell.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Says what will happen and asks whether to go on.
pub(crate) fn ask(what: &str) -> Result<bool, Failure> {
    write!(io::stderr(), "{what} Go on? [y/N] ").context("can't ask")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("can't read the answer")?;
    Ok(is_yes(&answer))
}

/// A line that counts, on stderr; hidden where that is no terminal.
pub(crate) fn counter(noun: &'static str) -> ProgressBar {
    spinner("{spinner} {human_pos} {prefix} ({per_sec})").with_prefix(noun)
}

/// A line of this template that moves while it is there, on stderr; hidden where that is no
/// terminal.
pub(crate) fn spinner(template: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    let spinner = ProgressBar::new_spinner().with_style(style);
    spinner.enable_steady_tick(TICK);
    spinner
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (answer, yes) in
            [("y\n", true), ("YES\n", true), ("\n", false), ("n\n", false), ("yep\n", false)]
        {
            assert_eq!(is_yes(answer), yes, "{answer}");
        }
    }
}
