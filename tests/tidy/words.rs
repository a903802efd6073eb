//! Words that no committed text holds.

use super::repository::{Repository, TextFile};

/// Text that others wrote, or that a tool keeps.
fn is_foreign(file: &TextFile) -> bool {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    name == "Cargo.lock"
        || name.starts_with("LICENSE")
        || [".jsonl", ".ndjson"].iter().any(|kind| name.ends_with(kind))
}

fn each_line(repository: &Repository, offence: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let own = repository.files.iter().filter(|file| !is_foreign(file) && !file.is_tidy());
    own.flat_map(|file| {
        let lines = file.text.lines().zip(1..);
        lines
            .filter_map(|(line, number)| {
                offence(line).map(|what| format!("{}:{number}: {what}", file.path))
            })
            .collect::<Vec<_>>()
    })
    .collect()
}

pub(crate) fn unfinished(repository: &Repository) -> Vec<String> {
    each_line(repository, unfinished_line)
}

fn unfinished_line(line: &str) -> Option<String> {
    if line.contains("FIXME") {
        return Some("FIXME; mend it".to_owned());
    }
    let after = line.split("TODO").nth(1)?;
    let issue = after.trim_start_matches([' ', '(']);
    let named =
        issue.strip_prefix('#').is_some_and(|it| it.starts_with(|c: char| c.is_ascii_digit()));
    (!named).then(|| "TODO without an issue; write TODO(#N)".to_owned())
}

/// Places that exist on one machine only.
const MACHINES: [&str; 2] = ["/root/", "/home/"];

pub(crate) fn machines(repository: &Repository) -> Vec<String> {
    each_line(repository, |line| {
        let found = MACHINES.into_iter().find(|word| line.contains(word))?;
        Some(format!("{found:?} belongs to one machine"))
    })
}

#[test]
fn work_that_is_left_needs_an_issue() {
    for bad in ["// TODO later", "# TODO: x", "// TODO(me)", "x FIXME"] {
        assert!(unfinished_line(bad).is_some(), "{bad}");
    }
    for good in ["// TODO(#12): later", "// TODO #3 x", "todo", ""] {
        assert!(unfinished_line(good).is_none(), "{good}");
    }
}
