//! Compiling in a process of its own, which may run out of memory or time without anybody else.
//!
//! A few kilobytes of WebAssembly can be made to take a compiler hours or all memory (a thousand
//! nested loops over a thousand variables do), and wasmtime can't be told to stop. So the broker
//! starts its own program again, writes the component to its standard input and reads the code from
//! its standard output: a byte that says which, then the code or a text that says why not.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use logmill_model::limits::MODULE_BYTES_MAX;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::Error;
use crate::compile::{NICENESS, precompile};
use crate::runtime::{Compiling, engine};

/// The first argument of the broker's program when it is started as a compiler.
const ARGUMENT: &str = "__compile-module";
/// What a compiler may take of memory, in bytes. CPython takes a fifth of it.
const MEMORY_BYTES_MAX: u64 = 2 << 30;
/// What a compiler may take of all cores together, in seconds. CPython takes 15.
const CPU_SECONDS_MAX: u64 = 120;
/// How many threads it has at most.
const THREADS_MAX: u32 = 4;
/// Most code that is read from it.
const CODE_BYTES_MAX: u64 = 1 << 30;
const COMPILED: u8 = 0;
const REFUSED: u8 = 1;
const BROKEN: u8 = 2;

/// Compiles what comes on standard input when this process was started for that, and says with which
/// code to exit; None otherwise. A program whose runtimes have [`crate::Settings::compile_apart`]
/// calls this first thing in `main`.
#[must_use]
pub fn compile_if_asked(mut args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    if args.nth(1)?.to_str() != Some(ARGUMENT) {
        return None;
    }
    let (kind, answer) = match limit_this_process().and_then(|()| read_standard_input()) {
        Ok(bytes) => compile(&bytes),
        Err(error) => (BROKEN, error.to_string().into_bytes()),
    };
    let mut out = io::stdout().lock();
    let written = out.write_all(&[kind]).and_then(|()| out.write_all(&answer));
    Some(if written.and_then(|()| out.flush()).is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn limit_this_process() -> io::Result<()> {
    limit(Resource::As, MEMORY_BYTES_MAX)?;
    limit(Resource::Cpu, CPU_SECONDS_MAX)?;
    limit(Resource::Core, 0)?;
    rustix::process::nice(NICENESS)?;
    #[cfg(target_os = "linux")]
    {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // When the machine has no more memory, this is the process to do without.
        fs::write("/proc/self/oom_score_adj", "1000")?;
    }
    Ok(())
}

/// Lowers a limit, never raises one that is lower already.
fn limit(resource: Resource, max: u64) -> io::Result<()> {
    let max = getrlimit(resource).maximum.map_or(max, |set| set.min(max));
    Ok(setrlimit(resource, Rlimit { current: Some(max), maximum: Some(max) })?)
}

fn read_standard_input() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().take(MODULE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn compile(bytes: &[u8]) -> (u8, Vec<u8>) {
    let engine = match engine(Compiling::OnAllThreads) {
        Ok(engine) => engine,
        Err(error) => return (BROKEN, format!("{error:#}").into_bytes()),
    };
    match precompile(&engine, bytes) {
        Ok(code) => (COMPILED, code),
        Err(Error::Invalid(text)) => (REFUSED, text.into_bytes()),
        Err(error) => (BROKEN, error.to_string().into_bytes()),
    }
}

/// The code of a component, from a process of its own.
pub(crate) fn compile_apart(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let broken = |error: io::Error| Error::Runtime(format!("no process to compile in: {error}"));
    let mut child = start().map_err(broken)?;
    let answer = talk(&mut child, bytes);
    let status = child.wait().map_err(broken)?;
    if !status.success() {
        return Err(why_it_ended(status));
    }
    let mut answer = answer.map_err(broken)?;
    match answer.first() {
        Some(&COMPILED) => {
            answer.remove(0);
            Ok(answer)
        }
        Some(&REFUSED) => Err(Error::Invalid(text(&answer[1..]))),
        Some(_) => Err(Error::Runtime(format!("it can't compile: {}", text(&answer[1..])))),
        None => Err(Error::Runtime("the process that compiles said nothing".to_owned())),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// This program again, also when its file has been replaced in the meantime.
fn start() -> io::Result<Child> {
    let program = if cfg!(target_os = "linux") {
        PathBuf::from("/proc/self/exe")
    } else {
        std::env::current_exe()?
    };
    // Without the environment: nothing in it is for the compiler.
    Command::new(program)
        .arg(ARGUMENT)
        .env_clear()
        .env("RAYON_NUM_THREADS", THREADS_MAX.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
}

/// It reads all before it writes anything, so that neither waits for the other for ever.
fn talk(child: &mut Child, bytes: &[u8]) -> io::Result<Vec<u8>> {
    if let Some(mut input) = child.stdin.take() {
        input.write_all(bytes)?;
    }
    let mut answer = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(CODE_BYTES_MAX).read_to_end(&mut answer)?;
    }
    Ok(answer)
}

fn why_it_ended(status: ExitStatus) -> Error {
    let is_signal = |signal: Signal| status.signal() == Some(signal.as_raw());
    if is_signal(Signal::XCPU) || is_signal(Signal::KILL) {
        Error::TooComplex { what: format!("it takes more than {CPU_SECONDS_MAX} seconds") }
    } else if is_signal(Signal::ABORT) {
        let gib = MEMORY_BYTES_MAX >> 30;
        Error::TooComplex {
            what: format!("it takes more than {gib} GiB of memory or nests too deep"),
        }
    } else {
        Error::Runtime(format!("the process that compiles ended with {status}"))
    }
}
