//! Modules, built once by the same builder that users have.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use logmill_build::{Options, Progress, build};

type Slot = Arc<OnceLock<PathBuf>>;

/// The root of the repository.
///
/// # Panics
/// When it is gone.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A folder of `examples`.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn example(path: &str) -> PathBuf {
    let folder = repository().join("examples").join(path);
    assert!(folder.exists(), "{} exists", folder.display());
    folder
}

/// The component of a guest in `tests/guests`, built when it has to be. Builds of several processes
/// take turns, which the builder sees to.
///
/// # Panics
/// When it can't be built.
pub async fn guest(name: &'static str) -> PathBuf {
    once(name, move || {
        let folder = repository().join("tests/guests").join(name);
        let note = |progress: Progress<'_>| {
            if let Progress::Note(text) = progress {
                eprintln!("{name}: {text}");
            }
        };
        let options = Options { progress: &note, ..Options::default() };
        build(&folder, &options).unwrap_or_else(|error| panic!("{name}: {error}")).path
    })
    .await
}

/// The component of the Python guest; None, with a word on why, where it can't be built.
///
/// # Panics
/// When componentize-py is there and can't build it.
pub async fn python_guest() -> Option<PathBuf> {
    let there = std::process::Command::new("componentize-py").arg("--version").output();
    if there.is_err() {
        eprintln!("skipped: componentize-py is not there; `pip install componentize-py` brings it");
        return None;
    }
    Some(once("python", build_python).await)
}

fn build_python() -> PathBuf {
    let folder = repository().join("target/guests/components");
    std::fs::create_dir_all(&folder).unwrap();
    let component = folder.join("python-consumer.wasm");
    // A copy, since Python leaves its compiled files beside its sources.
    let sources = tempfile::tempdir().unwrap();
    let source = repository().join("tests/guests/python/consumer.py");
    std::fs::copy(source, sources.path().join("consumer.py")).unwrap();
    let output = std::process::Command::new("componentize-py")
        .arg("-d")
        .arg(repository().join("wit"))
        .args(["-w", "consumer-module", "componentize", "consumer", "-p"])
        .arg(sources.path())
        .arg("-o")
        .arg(&component)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "componentize-py: {said}");
    component
}

/// Does the work once in this process; others wait for it.
async fn once(name: &'static str, work: impl FnOnce() -> PathBuf + Send + 'static) -> PathBuf {
    static BUILT: OnceLock<Mutex<HashMap<&'static str, Slot>>> = OnceLock::new();
    let built = BUILT.get_or_init(Mutex::default);
    let slot = {
        let mut built = built.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(built.entry(name).or_default())
    };
    tokio::task::spawn_blocking(move || slot.get_or_init(work).clone()).await.unwrap()
}
