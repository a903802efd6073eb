//! Checks of what the documents say against what is there.

use super::repository::{Repository, TextFile};

const README: &str = "README.md";
const DOCUMENTS: [&str; 2] = [README, "broker/ARCHITECTURE.md"];

pub(crate) fn rust_version(repository: &Repository) -> Vec<String> {
    let Some(readme) = repository.file(README) else { return missing(README) };
    let manifest = repository.file("Cargo.toml").expect("the root has a manifest");
    let version = manifest
        .text
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .expect("the manifest has a rust-version")
        .trim_matches('"');
    let said = rust_versions(&readme.text);
    if said.is_empty() {
        return vec![format!("{README}: does not say that it needs Rust {version}")];
    }
    said.into_iter()
        .filter(|said| said != version)
        .map(|said| format!("{README}: says Rust {said}, Cargo.toml says {version}"))
        .collect()
}

/// Each `Rust 1.2` of a text.
fn rust_versions(text: &str) -> Vec<String> {
    text.split("Rust ")
        .skip(1)
        .map(|after| {
            let end = after.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(after.len());
            after[..end].trim_end_matches('.').to_owned()
        })
        .filter(|version| version.contains('.'))
        .collect()
}

fn missing(path: &str) -> Vec<String> {
    vec![format!("{path}: is not there")]
}

pub(crate) fn paths(repository: &Repository) -> Vec<String> {
    let mut offences = Vec::new();
    for path in DOCUMENTS {
        let Some(document) = repository.file(path) else {
            offences.extend(missing(path));
            continue;
        };
        for named in paths_in(repository, document) {
            if !resolves(repository, document, &named) {
                offences.push(format!("{path}: names {named}, which does not exist"));
            }
        }
    }
    offences
}

fn folder_of(document: &TextFile) -> &str {
    document.path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Whether a path exists from the root, from the document's folder, or as the end of a file's path.
fn resolves(repository: &Repository, document: &TextFile, named: &str) -> bool {
    let folder = folder_of(document);
    let end = format!("/{named}");
    repository.exists(named)
        || repository.exists(&format!("{folder}/{named}"))
        || repository.files.iter().any(|file| file.path.ends_with(&end))
}

/// What reads as a path of the repository: the target of a link; and in backticks what ends as a
/// source file does, or begins as a folder of the root (or beside the document) does.
fn paths_in(repository: &Repository, document: &TextFile) -> Vec<String> {
    let folder = folder_of(document);
    let begins_here = |text: &str| {
        let first = text.split('/').next().unwrap_or_default();
        let here = |first: &str| !first.is_empty() && repository.exists(first);
        text.contains('/')
            && (here(first) || (!folder.is_empty() && here(&format!("{folder}/{first}"))))
    };
    let in_backticks = prose(&document.text)
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|text| !text.contains([' ', '<', '*', '$', '{', '\n', ':']))
        .filter(|text| !is_readers_own(&document.text, text))
        .filter(|text| {
            [".rs", ".md", ".wit"].iter().any(|end| text.ends_with(end)) || begins_here(text)
        })
        .map(str::to_owned)
        .collect::<Vec<_>>();
    let links = document.text.split("](").skip(1).filter_map(|after| after.split(')').next());
    let local = links.filter(|link| !link.contains("://") && !link.starts_with('#'));
    let targets = local.map(|link| link.split('#').next().unwrap_or(link).to_owned());
    in_backticks.into_iter().chain(targets).collect()
}

/// Whether a path lies in a project that a command of the same document makes.
fn is_readers_own(document: &str, path: &str) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    document.contains(&format!("\nlogmill module new {first}\n"))
}

/// A text without its fenced blocks.
fn prose(text: &str) -> String {
    let blocks = text.split("\n```").enumerate();
    blocks.filter(|(index, _)| index % 2 == 0).map(|(_, part)| part).collect::<Vec<_>>().join("\n")
}

pub(crate) fn commands(repository: &Repository) -> Vec<String> {
    let Some(readme) = repository.file(README) else { return missing(README) };
    let tests: Vec<&str> = repository
        .files
        .iter()
        .filter(|file| file.is_rust() && file.is_test() && !file.is_tidy())
        .map(|file| file.text.as_str())
        .collect();
    commands_in(&readme.text)
        .into_iter()
        .filter(|command| !tests.iter().any(|text| text.contains(command.as_str())))
        .map(|command| format!("{README}: no test runs `{command}`"))
        .collect()
}

/// The commands of a text's shell blocks, but those that no test can run in itself.
fn commands_in(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut block: Option<&str> = None;
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(language.trim()) };
            continue;
        }
        if !matches!(block, Some("sh" | "bash" | "console" | "shell")) {
            continue;
        }
        let line = line.split(" #").next().unwrap_or(line).trim();
        for command in line.strip_prefix("$ ").unwrap_or(line).split(" && ") {
            let command = command.trim_end_matches(" &");
            let exempt = ["git clone ", "cargo test", "cd ", "export ", "#"];
            if !command.is_empty() && !exempt.iter().any(|start| command.starts_with(start)) {
                commands.push(command.to_owned());
            }
        }
    }
    commands
}

#[test]
fn versions_and_commands_are_found_where_they_stand() {
    assert_eq!(rust_versions("needs Rust 1.95 or newer, in Rust. Rust 1.96."), ["1.95", "1.96"]);
    let text = "x\n```sh\n# why\ngit clone x && cd x\ncargo test --release\nlogmill dev &   # this\n```\n\
                ```toml\nlogmill = 1\n```\n```console\n$ logmill status\n```\n";
    assert_eq!(commands_in(text), ["logmill dev", "logmill status"]);
}
