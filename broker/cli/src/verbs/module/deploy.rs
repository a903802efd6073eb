//! `logmill module deploy`: from a folder or a component to a running deployment.

mod settings;

use std::path::{Path, PathBuf};

use logmill_build::project::Module;
use logmill_client::{Admin, Error, ErrorCode};
use logmill_model::{Deployed, DeploymentName, World};

use crate::project::{self, Component, Target};
use crate::{Failure, Session};

pub(crate) use settings::Flags;

/// Deploy a module, or a new version of one
///
/// A folder with a logmill.toml says what the flags don't. Flags override the file, the file
/// overrides the previous version's settings, and those the defaults.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "logmill module deploy [OPTIONS] [NAME] <DIR|FILE.wasm>",
    after_help = "Example:\n  logmill module deploy examples/github-triage\n  \
        logmill module deploy triage triage.wasm --on issues --out alerts --max-attempts 3"
)]
pub(crate) struct Args {
    /// The deployment's name, where it is not the project's; then a module's folder or a component
    #[arg(num_args = 0..=2, value_name = "NAME] [DIR|FILE.wasm")]
    words: Vec<String>,
    #[command(flatten)]
    flags: Flags,
}

/// What is to be deployed.
struct Plan {
    name: Option<String>,
    path: PathBuf,
    flags: Flags,
}

impl Args {
    fn plan(mut self) -> Result<Plan, Failure> {
        let mut words = self.words;
        if swallowed(&words, &self.flags.on) {
            words.extend(self.flags.on.pop());
        }
        let Some(path) = words.pop() else {
            return Err(Failure::usage("nothing to deploy; give a module's folder or a .wasm"));
        };
        Ok(Plan { name: words.pop(), path: path.into(), flags: self.flags })
    }

    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let plan = self.plan()?;
        let modules = chosen(Target::of(&plan.path)?.modules, &plan)?;
        // All are built before the first is deployed, so that a typo leaves nothing half done.
        let mut ready = Vec::with_capacity(modules.len());
        for module in modules {
            let component = project::component(&module).await?;
            check_fit(&plan.flags, &module, &component)?;
            ready.push((module, component));
        }
        let admin = session.admin().await?;
        for (module, component) in ready {
            let deployed = deploy(&admin, &module, component, &plan.flags).await?;
            session.output.json(&deployed)?;
            session.output.text(told(&deployed))?;
        }
        Ok(())
    }
}

/// Whether `--on`, which takes all words up to the next flag, has taken the module's path too,
/// because it was typed last.
fn swallowed(words: &[String], on: &[String]) -> bool {
    let Some(last) = on.last() else { return false };
    match words {
        [] => is_module(last),
        [word] if is_module(word) => !Path::new(word).is_file() && on.len() > 1 && is_module(last),
        [_] => is_module(last),
        _ => false,
    }
}

fn is_module(word: &str) -> bool {
    let path = Path::new(word);
    let is_component = path.extension().is_some_and(|extension| extension == "wasm");
    (is_component && path.is_file())
        || path.join(logmill_build::project::FILE).is_file()
        || path.join("Cargo.toml").is_file()
}

/// The modules of the target that are meant, under the names that they are to have.
fn chosen(mut modules: Vec<Module>, plan: &Plan) -> Result<Vec<Module>, Failure> {
    let names = || modules.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ");
    match &plan.name {
        Some(name) if modules.len() == 1 => modules[0].name.clone_from(name),
        Some(name) => {
            let unknown =
                format!("{} has no module {name}; it has {}", plan.path.display(), names());
            modules.retain(|module| module.name == *name);
            if modules.is_empty() {
                return Err(Failure::Usage(unknown));
            }
        }
        None if modules.len() > 1 && !plan.flags.is_empty() => {
            return Err(Failure::usage(format!(
                "{} has several modules; say which one the flags are for: {}",
                plan.path.display(),
                names()
            )));
        }
        None => {}
    }
    Ok(modules)
}

/// Flags that fit none of the ways in which the module can be used are wrong; what the component
/// is not, only the broker can say.
fn check_fit(flags: &Flags, module: &Module, component: &Component) -> Result<(), Failure> {
    let exported = component.built.worlds.iter().copied();
    let worlds: Vec<World> = match module.world {
        Some(world) => vec![model_world(world)],
        None => exported.map(model_world).collect(),
    };
    match worlds.as_slice() {
        [world] => flags.check_fit(*world),
        _ => Ok(()),
    }
}

fn model_world(world: logmill_build::World) -> World {
    match world {
        logmill_build::World::Consumer => World::Consumer,
        logmill_build::World::Router => World::Router,
        logmill_build::World::Filter => World::Filter,
    }
}

/// Uploads a component and deploys it as the flags and the project file say.
pub(crate) async fn deploy(
    admin: &Admin,
    module: &Module,
    component: Component,
    flags: &Flags,
) -> Result<Deployed, Failure> {
    let name: DeploymentName = module.name.parse().map_err(Failure::usage)?;
    let mut file = module.deploy.clone();
    // Where a project begins is said once, for its first deployment; a typed `--from` is refused
    // by the broker when there is one.
    if file.from.is_some() && exists(admin, &name).await? {
        file.from = None;
    }
    let uploaded = admin.upload(component.bytes.into()).await?;
    let world = module.world.map(model_world);
    let request = flags.request(name, uploaded.digest, world, &file)?;
    Ok(admin.deploy(request).await?)
}

async fn exists(admin: &Admin, name: &DeploymentName) -> Result<bool, Failure> {
    match admin.deployment(name.clone()).await {
        Ok(_) => Ok(true),
        Err(Error::Refused { code: ErrorCode::UnknownDeployment, .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What was deployed, for people.
pub(crate) fn told(deployed: &Deployed) -> String {
    let Deployed { name, version, digest, start } = deployed;
    let digest = digest.to_string();
    let mut text = format!("deployed {name} version {version} ({})", &digest[..12]);
    for at in start {
        text.push_str(&format!("\n  {}/{} from offset {}", at.topic, at.partition, at.offset));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn the_module_is_found_wherever_it_was_typed() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, file) = (dir.path().join("m"), dir.path().join("m.wasm"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("logmill.toml"), "").unwrap();
        std::fs::write(&file, "").unwrap();
        let (folder, file) = (folder.to_str().unwrap(), file.to_str().unwrap());
        let (a, b) = (&["a"][..], &["a", "b"][..]);
        for (line, name, path, on) in [
            (format!("{folder} --on a b"), None, folder, b),
            (format!("n {folder} --on a --on b"), Some("n"), folder, b),
            (format!("--on a b {folder}"), None, folder, b),
            (format!("n --on a {folder}"), Some("n"), folder, a),
            (format!("--on a {file}"), None, file, a),
            (format!("n --on a b {file}"), Some("n"), file, b),
            (format!("{file} --on a b"), None, file, b),
            (format!("{folder} --on a {folder}"), Some(folder), folder, a),
            ("n none --on a".to_owned(), Some("n"), "none", a),
        ] {
            let words = std::iter::once("deploy").chain(line.split(' '));
            let plan = Line::try_parse_from(words).unwrap().args.plan().unwrap();
            assert_eq!(
                (plan.name.as_deref(), plan.path.as_path()),
                (name, Path::new(path)),
                "{line}"
            );
            assert_eq!(plan.flags.on, on, "{line}");
        }
    }
}
