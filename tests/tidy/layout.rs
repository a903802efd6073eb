//! Checks of where things lie.

use std::fs;

use super::repository::Repository;

/// What may be seen in the root. Tool settings are dot files; `target` is not committed.
const ROOT: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "LICENSE",
    "broker",
    "sdk",
    "examples",
    "wit",
    "tests",
    "target",
];

fn names(repository: &Repository, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(repository.root.join(folder)).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

pub(crate) fn root(repository: &Repository) -> Vec<String> {
    let names = names(repository, ".").into_iter();
    names
        .filter(|name| !name.starts_with('.') && !ROOT.contains(&name.as_str()))
        .map(|name| format!("{name}: does not belong in the root"))
        .collect()
}

/// A guest that no test names is a guest that nothing tests.
pub(crate) fn guests(repository: &Repository) -> Vec<String> {
    let tests: Vec<&str> = repository
        .files
        .iter()
        .filter(|file| file.is_rust() && file.is_test() && !file.is_tidy())
        .map(|file| file.text.as_str())
        .collect();
    names(repository, "tests/guests")
        .into_iter()
        .filter(|guest| {
            let quoted = format!("\"{guest}\"");
            !tests.iter().any(|text| text.contains(&quoted))
        })
        .map(|guest| format!("tests/guests/{guest}: no test names it"))
        .collect()
}
