//! The text files of the repository, as they lie in the work tree.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that are not the repository's text: build output, and what tools leave behind.
const SKIPPED: [&str; 3] = ["target", ".git", ".logmill"];

/// A text file.
pub(crate) struct TextFile {
    /// Relative to the root, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl TextFile {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether all of the file is tests, so that limits on production code do not bind it.
    pub(crate) fn is_test(&self) -> bool {
        let of_tests_package = self.path.starts_with("tests/")
            && !self.path.starts_with("tests/src/")
            && !self.path.starts_with("tests/guests/");
        of_tests_package
            || self.path.ends_with("/tests.rs")
            || (!self.path.starts_with("tests/") && self.path.contains("/tests/"))
    }

    /// These checks themselves: they name what they look for.
    pub(crate) fn is_tidy(&self) -> bool {
        self.path == "tests/tidy.rs" || self.path.starts_with("tests/tidy/")
    }
}

/// All text files.
pub(crate) struct Repository {
    pub(crate) root: PathBuf,
    pub(crate) files: Vec<TextFile>,
}

impl Repository {
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut repository = Self { root: root.clone(), files: Vec::new() };
        repository.gather(&root, "");
        assert!(repository.files.len() > 100, "the repository was found");
        repository
    }

    fn gather(&mut self, folder: &Path, prefix: &str) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = format!("{prefix}{name}");
            if entry.file_type().unwrap().is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    self.gather(&entry.path(), &format!("{path}/"));
                }
            } else if let Ok(text) = fs::read_to_string(entry.path()) {
                self.files.push(TextFile { path, text });
            }
        }
    }

    pub(crate) fn file(&self, path: &str) -> Option<&TextFile> {
        self.files.iter().find(|file| file.path == path)
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// The offences of all Rust files, each with its place.
    pub(crate) fn each_rust_file(&self, check: fn(&TextFile) -> Vec<String>) -> Vec<String> {
        self.files.iter().filter(|file| file.is_rust()).flat_map(check).collect()
    }
}
