//! How a call failed, in words that help whoever reads them at night.

use std::fmt;

use logmill_model::FailureReason;
use logmill_model::limits::DETAIL_BYTES_MAX;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::from_guest::{TooMuch, reason};
use crate::host::Host;
use crate::offence::Offence;

/// How much of the last warning of the module's log goes into the detail, in bytes.
const WARNING_BYTES_MAX: usize = 300;
/// How many functions of the guest's stack go into the detail.
const FRAMES_SHOWN: usize = 3;

/// An attempt that failed. An expected outcome of running others' code, so a value to act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind, as it is counted and dead-lettered: `error`, `trap`, `deadline`, `memory` or
    /// `output-limit`.
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
            let detail = format!("returned more than its limit of output at once{frames}");
            return Self::lost(FailureReason::OutputLimit, detail);
        }
        let what = match (error.downcast_ref::<Trap>(), error.downcast_ref::<I32Exit>()) {
            (Some(trap), _) => trap_words(*trap),
            (_, Some(I32Exit(status))) => format!("called exit with status {status}"),
            _ => cause,
        };
        let warning = host.lines.lock().last_warning().map(|text| {
            format!("; it last logged: {}", &text[..text.floor_char_boundary(WARNING_BYTES_MAX)])
        });
        Self::lost(FailureReason::Trap, format!("{what}{frames}{}", warning.unwrap_or_default()))
    }

    /// The call returned more than it may.
    pub(crate) fn too_much(too_much: TooMuch, bytes_max: u64) -> Self {
        let detail = format!(
            "returned {} bytes of output or more, its limit is {bytes_max}",
            too_much.bytes
        );
        Self::lost(FailureReason::OutputLimit, detail)
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
        Offence::RandomBytes { .. } => FailureReason::Trap,
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

/// The innermost functions of the guest's own, ` in a, called by b, called by c`, as far as its
/// name section tells them.
fn frames(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    let names: Vec<_> = backtrace
        .frames()
        .iter()
        .filter_map(|frame| frame.func_name())
        .map(|name| format!("{:#}", rustc_demangle::demangle(name)))
        .filter(|name| !is_runtime(name))
        .take(FRAMES_SHOWN)
        .collect();
    if names.is_empty() { String::new() } else { format!(", in {}", names.join(", called by ")) }
}

/// Whether a function belongs to the language and not to the module.
fn is_runtime(name: &str) -> bool {
    ["core::", "std::", "alloc::", "__rust", "rust_", "__rustc", "abort", "<alloc::", "<core::"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}
