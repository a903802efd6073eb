//! `logmill module new`: lays out a project that builds, tests and deploys as it is.
//!
//! The project carries the module SDK and the WIT package in `vendor/logmill`, so that it needs
//! neither the repository nor a published crate, and its manifest makes it a workspace of its
//! own, so that it may lie inside another one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use logmill_build::vendor;
use logmill_model::World;

use crate::{Failure, Session};

/// Where the SDK and the WIT package lie in a project.
const VENDOR_FOLDER: &str = "vendor/logmill";
const MANIFEST: &str = include_str!("../../../templates/Cargo.toml.in");

/// Start a module project that builds, tests and deploys as it is
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  logmill module new greeter --world consumer\n  logmill dev greeter"
)]
pub(crate) struct Args {
    /// The folder to make; its name is the project's
    dir: PathBuf,
    /// What the module is
    #[arg(long, default_value = "consumer", value_name = "consumer|router|filter")]
    world: World,
}

/// What differs between the worlds.
struct Template {
    source: &'static str,
    project: &'static str,
    input: &'static str,
}

fn template(world: World) -> Template {
    macro_rules! template {
        ($world:literal) => {
            Template {
                source: include_str!(concat!("../../../templates/", $world, ".rs")),
                project: include_str!(concat!("../../../templates/", $world, ".toml.in")),
                input: include_str!(concat!("../../../templates/", $world, ".ndjson")),
            }
        };
    }
    match world {
        World::Consumer => template!("consumer"),
        World::Router => template!("router"),
        World::Filter => template!("filter"),
    }
}

impl Args {
    pub(super) fn run(self, session: &mut Session) -> Result<(), Failure> {
        let name = project_name(&self.dir)?;
        refuse_occupied(&self.dir)?;
        for (place, content) in files(&name, self.world) {
            write(&self.dir.join(place), &content)?;
        }
        let shown = self.dir.display();
        session.output.json(&serde_json::json!({
            "dir": self.dir, "name": name, "world": self.world,
        }))?;
        session.output.text(format_args!(
            "{shown} is a {} that works as it is. Next:\n  cargo test --manifest-path {shown}/Cargo.toml\n  logmill module deploy {shown}   to the broker that runs, or\n  logmill dev {shown}             with a broker of its own",
            self.world
        ))
    }
}

/// The folder's name, which must do as a crate's and a deployment's.
fn project_name(dir: &Path) -> Result<String, Failure> {
    let folder = std::path::absolute(dir).context("can't tell where that is")?;
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let rest = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
    };
    if first && name.bytes().all(rest) && name.len() <= 64 {
        return Ok(name.to_owned());
    }
    Err(Failure::usage(format!(
        "{name:?} can't name a project; use at most 64 of a-z 0-9 - _, a letter first"
    )))
}

fn refuse_occupied(dir: &Path) -> Result<(), Failure> {
    let occupied = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => {
            let what = format!("can't use {}", dir.display());
            return Err(anyhow::Error::from(error).context(what).into());
        }
    };
    if occupied {
        return Err(anyhow::anyhow!("{} is not empty; name a new folder", dir.display()).into());
    }
    Ok(())
}

fn files(name: &str, world: World) -> Vec<(PathBuf, Vec<u8>)> {
    let Template { source, project, input } = template(world);
    let named = |text: &str| text.replace("{{name}}", name).into_bytes();
    let mut files: Vec<(PathBuf, Vec<u8>)> = vec![
        ("Cargo.toml".into(), named(MANIFEST)),
        ("logmill.toml".into(), named(project)),
        ("input.ndjson".into(), input.into()),
        ("src/lib.rs".into(), source.into()),
        (".gitignore".into(), b"/target\n/.logmill\n".to_vec()),
    ];
    let folder = Path::new(VENDOR_FOLDER);
    files.extend(vendor::FILES.iter().map(|(place, text)| (folder.join(place), (*text).into())));
    files
}

fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let folder = path.parent().expect("every place is below the project's folder");
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, content))
        .with_context(|| format!("can't write {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_carries_all_that_its_build_needs() {
        for world in World::ALL {
            let files = files("greeter", world);
            for place in [
                "Cargo.toml",
                "src/lib.rs",
                "vendor/logmill/sdk/module/Cargo.toml",
                "vendor/logmill/sdk/module/src/lib.rs",
                "vendor/logmill/wit/module.wit",
            ] {
                assert!(files.iter().any(|(path, _)| path == Path::new(place)), "{place}");
            }
            for (path, content) in &files {
                let text = String::from_utf8_lossy(content);
                assert!(!text.contains("{{"), "a name is missing in {}", path.display());
            }
        }
    }

    #[test]
    fn a_project_is_a_workspace_of_its_own_and_so_is_the_sdk_in_it() {
        let manifests = files("greeter", World::Consumer)
            .into_iter()
            .filter(|(path, _)| path.ends_with("Cargo.toml"))
            .map(|(_, content)| String::from_utf8(content).unwrap());
        for manifest in manifests {
            assert!(!manifest.contains("workspace = true"), "{manifest}");
            if manifest.contains("name = \"greeter\"") {
                // A table without entries, since it is the last thing there.
                assert!(manifest.ends_with("\n[workspace]\n"), "{manifest}");
            }
        }
    }

    #[test]
    fn a_folder_names_its_project() {
        assert_eq!(project_name(Path::new("/x/my-module_2")).unwrap(), "my-module_2");
        for bad in ["/", "/x/Caps", "/x/1st", "/x/a.b", "/x/-a"] {
            assert!(matches!(project_name(Path::new(bad)), Err(Failure::Usage(_))), "{bad}");
        }
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert!(refuse_occupied(dir.path()).is_ok());
        assert!(refuse_occupied(&dir.path().join("new")).is_ok());
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(refuse_occupied(dir.path()).unwrap_err().line().contains("is not empty"));
        assert!(refuse_occupied(&dir.path().join("file")).is_err());
    }
}
