//! Running a tool: an environment of its own, its lines passed on, its last words kept.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::{env, thread};

use crate::Options;

/// How much of a tool's output an error repeats, in bytes.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Longest line that is looked at, in bytes.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// Settings of cargo that a person makes for all of its runs. All other `CARGO_…` variables are
/// either about the build that we may be called from or would change what is built.
const KEPT: [&str; 7] = [
    "CARGO_HOME",
    "CARGO_BUILD_JOBS",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
];
const DROPPED: [&str; 12] = [
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_BOOTSTRAP",
    "RUSTC_LINKER",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTDOCFLAGS",
    "MAKEFLAGS",
    "OUT_DIR",
    "TARGET",
    "LD_LIBRARY_PATH",
];

fn is_kept(variable: &str) -> bool {
    if variable.starts_with("CARGO") {
        return KEPT.iter().any(|kept| variable.starts_with(kept));
    }
    !DROPPED.contains(&variable)
}

/// A command with the environment of a terminal: nothing of a cargo that we may run under.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for (variable, _) in env::vars_os() {
        if variable.to_str().is_some_and(|variable| !is_kept(variable)) {
            command.env_remove(variable);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// How a command ended.
pub(crate) struct Ran {
    pub(crate) success: bool,
    /// The end of what it wrote to stderr.
    pub(crate) output: String,
}

/// Runs a command to its end. Its stderr is passed on line by line, its stdout to `on_stdout`.
pub(crate) fn run(
    command: &mut Command,
    options: &Options<'_>,
    mut on_stdout: impl FnMut(&str) + Send,
) -> io::Result<Ran> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut tail = Tail::default();
    thread::scope(|scope| {
        scope.spawn(|| each_line(stdout, &mut on_stdout));
        each_line(stderr, &mut |line| {
            options.output(line);
            tail.push(line);
        });
    });
    Ok(Ran { success: child.wait()?.success(), output: tail.text() })
}

/// A pipe that breaks ends like one that closes: the exit status tells the rest.
fn each_line(pipe: Option<impl Read>, take: &mut impl FnMut(&str)) {
    let Some(pipe) = pipe else { return };
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while pipe.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).is_ok_and(|read| read > 0)
    {
        take(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
}

/// The last lines, without those that only show that work goes on.
#[derive(Default)]
struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Tail {
    fn push(&mut self, line: &str) {
        const WORK_GOES_ON: [&str; 8] = [
            "Compiling",
            "Checking",
            "Downloading",
            "Downloaded",
            "Updating",
            "Locking",
            "Adding",
            "Blocking",
        ];
        if WORK_GOES_ON.iter().any(|word| line.trim_start().starts_with(word)) {
            return;
        }
        self.bytes += line.len();
        self.lines.push_back(line.to_owned());
        while self.bytes > OUTPUT_BYTES_MAX {
            let Some(first) = self.lines.pop_front() else { return };
            self.bytes -= first.len();
        }
    }

    fn text(self) -> String {
        Vec::from(self.lines).join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_outer_cargo_sets_is_not_passed_on() {
        for kept in ["PATH", "HOME", "CARGO_HOME", "CARGO_NET_OFFLINE", "RUSTUP_TOOLCHAIN"] {
            assert!(is_kept(kept), "{kept}");
        }
        for dropped in [
            "CARGO",
            "CARGO_MANIFEST_DIR",
            "CARGO_TARGET_DIR",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_PKG_NAME",
            "RUSTFLAGS",
            "RUSTC_WRAPPER",
        ] {
            assert!(!is_kept(dropped), "{dropped}");
        }
    }

    #[test]
    fn both_outputs_are_read_and_the_end_of_stderr_is_kept_within_its_bound() {
        let script =
            "echo out; i=0; while [ $i -lt 20000 ]; do echo line $i >&2; i=$((i+1)); done; exit 3";
        let mut said = Vec::new();
        let ran = run(command("sh").args(["-c", script]), &Options::default(), |line| {
            said.push(line.to_owned());
        })
        .unwrap();
        assert!(!ran.success);
        assert_eq!(said, ["out"]);
        assert!(ran.output.ends_with("line 19999"));
        assert!(ran.output.len() < 2 * OUTPUT_BYTES_MAX);
    }
}
