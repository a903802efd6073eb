//! How a call failed, in words that help whoever reads them at night.

use std::fmt;

use logmill_model::FailureReason;
use logmill_model::limits::DETAIL_BYTES_MAX;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::from_guest::{TooMuch, reason};
use crate::host::Host;
use crate::offence::Offence;

/// How many functions of the guest's stack go into the detail.
const FRAMES_SHOWN: usize = 3;
/// How much of a function's name, in bytes.
const FRAME_BYTES_MAX: usize = 100;

/// An attempt that failed. An expected outcome of running others' code, so a value to act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind, as it is counted and dead-lettered: `error`, `trap`, `deadline`, `memory`,
    /// `output-limit`, `state-limit` or `invalid-output`.
    pub reason: FailureReason,
    /// What happened, for a person; at most 1 KiB.
    pub detail: String,
    /// Whether the instance is gone: after a trap or an offence, not after an `err`. Every further
    /// call on it fails as a trap.
    pub instance_lost: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// The module returned an error. When it was refused memory before, that is the cause, and an
    /// instance that is full stays full.
    pub(crate) fn returned(text: String, host: &Host) -> Self {
        match host.budget.refusal() {
            Some(refusal) => Self::lost(FailureReason::Memory, format!("{refusal}; {text}")),
            None => {
                Self { reason: FailureReason::Error, detail: reason(text), instance_lost: false }
            }
        }
    }

    /// The call was stopped, by the guest's own trap or by a limit.
    pub(crate) fn stopped(error: &wasmtime::Error, host: &Host) -> Self {
        let frames = frames(error);
        if let Some(offence) = error.downcast_ref::<Offence>() {
            return Self::lost(offence_reason(*offence), format!("{offence}{frames}"));
        }
        if let Some(refusal) = host.budget.refusal() {
            return Self::lost(FailureReason::Memory, format!("{refusal}{frames}"));
        }
        // wasmtime has no type for this one; a test holds it to its words.
        let cause = error.root_cause().to_string();
        if cause.contains("fuel allocated for hostcalls has been exhausted") {
            let detail = format!("handed over more than its limit of output at once{frames}");
            return Self::lost(FailureReason::OutputLimit, detail);
        }
        let what = match (error.downcast_ref::<Trap>(), error.downcast_ref::<I32Exit>()) {
            (Some(trap), _) => trap_words(*trap),
            (_, Some(I32Exit(status))) => format!("called exit with status {status}"),
            _ => cause,
        };
        let warnings = match host.lines.lock().last_warnings() {
            text if text.is_empty() => text,
            text => format!("; it last logged: {text}"),
        };
        Self::lost(FailureReason::Trap, format!("{what}{frames}{warnings}"))
    }

    /// The call returned more than it may.
    pub(crate) fn too_much(too_much: TooMuch) -> Self {
        Self::lost(FailureReason::OutputLimit, too_much.to_string())
    }

    /// There is no instance, or none any more.
    pub(crate) fn lost(reason: FailureReason, mut detail: String) -> Self {
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
        Self { reason, detail, instance_lost: true }
    }
}

fn offence_reason(offence: Offence) -> FailureReason {
    match offence {
        Offence::Deadline { .. } | Offence::Wait { .. } | Offence::WaitForever => {
            FailureReason::Deadline
        }
        Offence::StateKey { .. } | Offence::StateValue { .. } | Offence::Full(_) => {
            FailureReason::StateLimit
        }
        Offence::ClaimKey { .. } => FailureReason::InvalidOutput,
        Offence::RandomBytes { .. } | Offence::Busy => FailureReason::Trap,
    }
}

fn trap_words(trap: Trap) -> String {
    match trap {
        Trap::UnreachableCodeReached => {
            "trapped: `unreachable` executed, as a panic does".to_owned()
        }
        Trap::StackOverflow => {
            "trapped: call stack exhausted, as endless recursion does".to_owned()
        }
        other => other.to_string().replacen("wasm trap: ", "trapped: ", 1),
    }
}

/// The innermost functions of the guest's own, `, in a, called by b`, as far as its name section
/// tells them.
fn frames(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    let names: Vec<_> = backtrace
        .frames()
        .iter()
        .filter_map(|frame| frame.func_name())
        .map(|name| format!("{:#}", rustc_demangle::demangle(name)))
        .collect();
    let own: Vec<_> = names
        .iter()
        .filter(|name| !is_runtime(name))
        .take(FRAMES_SHOWN)
        .map(|name| short(name))
        .collect();
    match (own.is_empty(), names.first()) {
        (false, _) => format!(", in {}", own.join(", called by ")),
        (true, Some(name)) => format!(", in {}", short(name)),
        (true, None) => String::new(),
    }
}

fn short(name: &str) -> &str {
    &name[..name.floor_char_boundary(FRAME_BYTES_MAX)]
}

/// Whether a function belongs to the language or to the SDK, and not to the module.
fn is_runtime(name: &str) -> bool {
    const RUNTIME: [&str; 8] = [
        "core::",
        "std::",
        "alloc::",
        "__rust",
        "rust_",
        "abort",
        "logmill_module::",
        "wit_bindgen::",
    ];
    let name = name.trim_start_matches('<');
    RUNTIME.iter().any(|prefix| name.starts_with(prefix)) || name.contains('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_the_language_are_not_the_modules() {
        for runtime in [
            "core::panicking::panic_fmt",
            "<alloc::vec::Vec<T> as alloc::vec::spec_from_iter::SpecFromIter<T,I>>::from_iter",
            "__rustc::rust_begin_unwind",
            "<logmill_module::guest::Instance<triage::Triage>>::call",
            "logmill:module/consumer@0.1.0#handle",
        ] {
            assert!(is_runtime(runtime), "{runtime}");
        }
        for own in ["triage::handle", "<triage::Triage>::label", "_PyEval_EvalFrameDefault"] {
            assert!(!is_runtime(own), "{own}");
        }
    }
}
