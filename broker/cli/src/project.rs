//! The modules that a command names by a folder or a file, and their components.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use logmill_build::project::{Deploy, Input, Module, Source};
use logmill_build::{Built, Options, Progress, Project};

use crate::{Failure, terminal};

/// What a command names by a path.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) modules: Vec<Module>,
    pub(crate) input: Option<Input>,
}

impl Target {
    /// Looks at a folder with a project file or a crate, or at a component.
    pub(crate) fn of(path: &Path) -> Result<Self, Failure> {
        if path.is_file() {
            let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            return Ok(Self::single(path, name, Source::Component(path.to_owned())));
        }
        match Project::load(path) {
            Ok(Project { modules, input, .. }) => Ok(Self { modules, input }),
            Err(logmill_build::Error::NoProjectFile { .. })
                if path.join("Cargo.toml").is_file() =>
            {
                let folder = std::path::absolute(path).context("can't tell where that is")?;
                let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                Ok(Self::single(path, name, Source::Cargo))
            }
            Err(_) if !path.exists() => {
                let shown = path.display();
                Err(anyhow::anyhow!("{shown} does not exist; give a module's folder or a .wasm")
                    .into())
            }
            Err(error) => Err(anyhow::Error::from(error).into()),
        }
    }

    fn single(path: &Path, name: &str, source: Source) -> Self {
        let module = Module {
            name: name.to_owned(),
            world: None,
            folder: path.to_owned(),
            source,
            deploy: Deploy::default(),
            expect: None,
        };
        Self { modules: vec![module], input: None }
    }
}

/// A component in memory, and what was built.
#[derive(Debug, Clone)]
pub(crate) struct Component {
    pub(crate) built: Built,
    pub(crate) bytes: Vec<u8>,
}

/// Builds a module's component, with its progress on the terminal.
pub(crate) async fn component(module: &Module) -> Result<Component, Failure> {
    let module = module.clone();
    let built = tokio::task::spawn_blocking(move || build(&module))
        .await
        .context("the build was given up")??;
    let bytes = read(&built.path)?;
    Ok(Component { built, bytes })
}

fn read(path: &PathBuf) -> Result<Vec<u8>, Failure> {
    Ok(std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?)
}

fn build(module: &Module) -> Result<Built, Failure> {
    let spinner = terminal::spinner("{spinner} building {prefix} {wide_msg:.dim}");
    spinner.set_prefix(module.name.clone());
    let may_install = |command: &str| spinner.suspend(|| may_install(command));
    let progress = |progress: Progress<'_>| match progress {
        Progress::Note(text) => spinner.suspend(|| terminal::note(text)),
        Progress::Output(line) => spinner.set_message(line.trim().to_owned()),
    };
    let options = Options { may_install: &may_install, progress: &progress, ..Options::default() };
    let built = logmill_build::build_module(module, &options);
    spinner.finish_and_clear();
    built.map_err(failure)
}

/// Installing is announced, and asked about where there is somebody to ask.
fn may_install(command: &str) -> bool {
    if terminal::is_interactive() {
        return terminal::ask(&format!("This will run `{command}`.")).unwrap_or(false);
    }
    terminal::note(&format!("running `{command}`"));
    true
}

/// What a compiler says fills a page; it goes before the one line.
fn failure(error: logmill_build::Error) -> Failure {
    let (what, output) = match &error {
        logmill_build::Error::Compile { folder, output } => {
            (format!("{} does not compile", folder.display()), output)
        }
        logmill_build::Error::BuildCommand { module, command, output } => {
            (format!("the module {module} does not build: `{command}` failed"), output)
        }
        _ => return anyhow::Error::from(error).into(),
    };
    terminal::note(output.trim_end());
    anyhow::anyhow!("{what}; the reason stands above").into()
}
