//! Checks of what the packages need, as cargo tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;

/// What the workspace's packages need, from `cargo metadata`.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    packages: Vec<Package>,
    workspace_root: String,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    features: BTreeSet<String>,
    path: Option<String>,
}

impl Metadata {
    pub(crate) fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A package's folder, from the root.
    fn folder<'a>(&self, package: &'a Package) -> &'a str {
        let path = package.manifest_path.strip_prefix(&self.workspace_root).unwrap();
        path.trim_start_matches('/').trim_end_matches("/Cargo.toml")
    }
}

/// The packages of ours that each of ours may need; every other edge is an offence. A new one
/// needs a sentence in broker/ARCHITECTURE.md.
const EDGES: [(&str, &[&str]); 10] = [
    ("logmill-model", &[]),
    ("logmill-wire", &["logmill-model"]),
    ("logmill-log", &["logmill-model"]),
    ("logmill-wasm", &["logmill-model"]),
    ("logmill-engine", &["logmill-model", "logmill-log", "logmill-wasm"]),
    ("logmill-server", &["logmill-model", "logmill-wire", "logmill-engine"]),
    (
        "logmill-cli",
        &[
            "logmill-model",
            "logmill-log",
            "logmill-wasm",
            "logmill-engine",
            "logmill-server",
            "logmill-client",
            "logmill-build",
        ],
    ),
    ("logmill-client", &["logmill-model", "logmill-wire"]),
    ("logmill-module", &[]),
    ("logmill-build", &[]),
];

/// What the tests inside a package may need besides: the fakes that another package has for them.
const TEST_EDGES: [(&str, &str); 1] = [("logmill-server", "logmill-log")];

/// What a package may need by its folder, where it is not one of the product's own.
fn edges_of_folder(folder: &str) -> &'static [&'static str] {
    if folder.starts_with("examples/clients") { &["logmill-client"] } else { &["logmill-module"] }
}

pub(crate) fn edges(metadata: &Metadata) -> Vec<String> {
    let table = BTreeMap::from(EDGES);
    let mut offences = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        if name == "logmill-tests" {
            continue;
        }
        let folder = metadata.folder(package);
        let allowed = table.get(name).copied().unwrap_or_else(|| edges_of_folder(folder));
        let ours = package.dependencies.iter().filter(|it| it.path.is_some());
        let for_tests = |it: &Dependency| {
            it.kind.as_deref() == Some("dev") && TEST_EDGES.contains(&(name, &it.name))
        };
        for needed in ours.filter(|it| !allowed.contains(&it.name.as_str()) && !for_tests(it)) {
            offences.push(format!("{folder}: `{name}` may not need `{}`", needed.name));
        }
    }
    offences
}

/// Features are unified over what one command builds, and only tests build dev-dependencies: where
/// one of them turned on a feature that nothing else does, `cargo test` would build wasmtime and
/// quinn again.
pub(crate) fn dev_dependencies(metadata: &Metadata) -> Vec<String> {
    let tests = metadata.packages.iter().find(|package| package.name == "logmill-tests").unwrap();
    let plain: BTreeMap<&str, &BTreeSet<String>> = tests
        .dependencies
        .iter()
        .filter(|it| it.kind.is_none())
        .map(|it| (it.name.as_str(), &it.features))
        .collect();
    let mut offences = Vec::new();
    for package in &metadata.packages {
        let dev = package.dependencies.iter().filter(|it| it.kind.as_deref() == Some("dev"));
        for needed in dev {
            let has = plain.get(needed.name.as_str());
            if has.is_none_or(|features| !needed.features.is_subset(features)) {
                offences.push(format!(
                    "`{}` needs `{}` for its tests, and tests/Cargo.toml lacks it or a feature of it",
                    package.name, needed.name
                ));
            }
        }
    }
    offences
}

#[test]
fn an_edge_outside_the_table_is_found() {
    let sample = |name: &str, folder: &str, needs: &str| -> Metadata {
        serde_json::from_value(serde_json::json!({
            "workspace_root": "/r",
            "packages": [{
                "name": name,
                "manifest_path": format!("/r/{folder}/Cargo.toml"),
                "dependencies": [{ "name": needs, "kind": null, "features": [], "path": "/r/x" }],
            }],
        }))
        .unwrap()
    };
    let bad = [
        ("logmill-log", "broker/log", "logmill-wasm"),
        ("logmill-client", "sdk/client", "logmill-engine"),
        ("triage", "examples/github-triage", "logmill-client"),
    ];
    for (name, folder, needs) in bad {
        assert_eq!(edges(&sample(name, folder, needs)).len(), 1, "{name}");
    }
    let good = [
        ("logmill-engine", "broker/engine", "logmill-log"),
        ("produce", "examples/clients/produce", "logmill-client"),
        ("hostile", "tests/guests/hostile", "logmill-module"),
    ];
    for (name, folder, needs) in good {
        assert!(edges(&sample(name, folder, needs)).is_empty(), "{name}");
    }
}
