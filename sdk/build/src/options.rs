//! How to build, and who is told.

use std::fmt;
use std::path::PathBuf;

/// The environment variable that, set to `1`, forbids installing anything.
pub const NO_INSTALL_VARIABLE: &str = "LOGMILL_NO_INSTALL";

/// What happens while a module is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Something a person should know, such as what is about to be installed. For stderr.
    Note(&'a str),
    /// A line that cargo or another tool printed. For a progress bar, or nobody: an error
    /// repeats what matters.
    Output(&'a str),
}

/// How to build, and who is told.
pub struct Options<'a> {
    /// Where cargo puts what it builds. None: `target/guests` of the Logmill repository that the
    /// project lies in, else the user's cache. All modules share it, and with it the standard
    /// library, which may have to be built first.
    pub target_folder: Option<PathBuf>,
    /// Whether anything may be installed at all. By default, unless [`NO_INSTALL_VARIABLE`] is `1`.
    pub install: bool,
    /// Asked before packages are installed system-wide, with the command. By default yes; a
    /// command line asks the person at its terminal.
    pub may_install: &'a dyn Fn(&str) -> bool,
    /// Told what happens. By default nobody is.
    pub progress: &'a dyn Fn(Progress<'_>),
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            target_folder: None,
            install: std::env::var_os(NO_INSTALL_VARIABLE).is_none_or(|value| value != "1"),
            may_install: &|_| true,
            progress: &|_| (),
        }
    }
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("target_folder", &self.target_folder)
            .field("install", &self.install)
            .finish_non_exhaustive()
    }
}

impl Options<'_> {
    pub(crate) fn note(&self, text: &str) {
        (self.progress)(Progress::Note(text));
    }

    pub(crate) fn output(&self, line: &str) {
        (self.progress)(Progress::Output(line));
    }
}
