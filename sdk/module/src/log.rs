//! The module's log, shown by `logmill module logs`.
//!
//! ```
//! use logmill_module::{info, log, warn};
//!
//! info!("{} records", 3);
//! warn!("no team is set");
//! log::write(log::Level::Debug, "a line that is already made");
//! ```
//!
//! A call may write 64 KiB; what is beyond that is cut, and the log says so.

/// How bad a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Each step.
    Trace,
    /// For who looks for a fault.
    Debug,
    /// Worth to know.
    Info,
    /// Odd, and handled.
    Warn,
    /// Wrong.
    Error,
}

/// Writes a line.
pub fn write(level: Level, text: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::guest::write_log(level, text);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::write_log(level, text);
}

/// Writes a line of level [`Trace`](crate::log::Level::Trace), formatted as by [`format!`].
#[macro_export]
macro_rules! trace {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Trace, &format!($($text)+)) };
}

/// Writes a line of level [`Debug`](crate::log::Level::Debug), formatted as by [`format!`].
#[macro_export]
macro_rules! debug {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Debug, &format!($($text)+)) };
}

/// Writes a line of level [`Info`](crate::log::Level::Info), formatted as by [`format!`].
#[macro_export]
macro_rules! info {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Info, &format!($($text)+)) };
}

/// Writes a line of level [`Warn`](crate::log::Level::Warn), formatted as by [`format!`].
#[macro_export]
macro_rules! warn {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Warn, &format!($($text)+)) };
}

/// Writes a line of level [`Error`](crate::log::Level::Error), formatted as by [`format!`].
#[macro_export]
macro_rules! error {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Error, &format!($($text)+)) };
}
