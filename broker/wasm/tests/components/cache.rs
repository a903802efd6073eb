//! Compiled code survives a restart, is never believed when it is damaged, and stays in its bounds.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::{consumer, limits, start};
use logmill_model::World;
use logmill_wasm::{Runtime, Settings};

fn runtime(folder: &Path, bytes_max: u64) -> Runtime {
    let cache = Some(folder.to_owned());
    Runtime::new(Settings { cache, cache_bytes_max: bytes_max, ..Settings::default() }).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn code_is_compiled_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("code");
    let bytes = consumer("(i32.const 0)");
    assert_ne!(runtime(&folder, 1 << 30).compile(&bytes).unwrap().compile_ms(), 0);
    let module = runtime(&folder, 1 << 30).compile(&bytes).unwrap();
    assert_eq!(module.compile_ms(), 0);
    assert!(start(&module, World::Consumer, limits()).unwrap().handle().is_ok());
    assert_eq!(files(&folder).len(), 1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&files(&folder)[0]), 0o600);
}

#[test]
fn damaged_code_is_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = consumer("(i32.const 0)");
    runtime(folder.path(), 1 << 30).compile(&bytes).unwrap();
    let file = files(folder.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&flipped[..], &whole[..whole.len() - 1], &whole[..20], b""] {
        fs::write(&file, damaged).unwrap();
        let module = runtime(folder.path(), 1 << 30).compile(&bytes).unwrap();
        assert_ne!(module.compile_ms(), 0);
        assert_eq!(fs::read(&file).unwrap(), whole, "and kept again");
    }
}

#[test]
fn what_was_used_longest_ago_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let modules: Vec<_> = (0..4)
        .map(|n| consumer(&format!("(i32.store (i32.const 68) (i32.const {n})) (i32.const 0)")))
        .collect();
    runtime(folder.path(), 1 << 30).compile(&modules[0]).unwrap();
    let one = fs::metadata(&files(folder.path())[0]).unwrap().len();
    let bounded = runtime(folder.path(), one * 3 + one / 2);
    let cached = |n: usize| bounded.compile(&modules[n]).unwrap().compile_ms() == 0;
    assert!(!cached(1) && !cached(2));
    assert!(cached(0), "used again, so the oldest is 1");
    assert!(!cached(3));
    assert_eq!(files(folder.path()).len(), 3);
    assert!(cached(0) && cached(2) && cached(3));
    assert!(!cached(1));
}

#[test]
fn what_a_crash_left_unfinished_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.unfinished"), "half").unwrap();
    fs::write(folder.path().join("somebody's.txt"), "keep").unwrap();
    runtime(folder.path(), 1 << 30);
    assert_eq!(files(folder.path()), [folder.path().join("somebody's.txt")]);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let settings = Settings { cache: Some(file.join("code")), ..Settings::default() };
    let error = Runtime::new(settings).unwrap_err();
    assert!(error.to_string().contains("file/code"), "{error}");
    assert!(error.is_retryable());
}
