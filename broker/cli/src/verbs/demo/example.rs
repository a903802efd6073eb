//! The example that the demo runs: where it is, and what belongs to it.

use std::path::{Path, PathBuf};

use logmill_build::World;
use logmill_build::project::Module;

use super::expectation::{Expectation, Expectations};
use crate::Failure;
use crate::feed::Feed;
use crate::project::{self, Component, Target};

/// From the root of the repository.
const FOLDER: &str = "examples/github-triage";
/// Records that go wrong, each in its own way, in the folder.
const MALFORMED: &str = "malformed.ndjson";
/// Records that go wrong until the module is mended, and what should come of them then.
const GHOSTS: &str = "ghosts.ndjson";
const EXPECTED_GHOSTS: &str = "expected-ghosts.ndjson";
/// The setting that mends it. The demo's first version goes without.
pub(super) const MENDS: &str = "deleted_author";

/// The example, read and checked.
pub(super) struct Example {
    folder: PathBuf,
    pub(super) feed: Feed,
    pub(super) malformed: PathBuf,
    pub(super) ghosts: PathBuf,
    pub(super) routers: Vec<Module>,
    pub(super) consumers: Vec<Consumer>,
}

/// A consumer of the example.
pub(super) struct Consumer {
    pub(super) module: Module,
    /// The value of the setting that mends it.
    pub(super) mended_by: String,
    pub(super) expectations: Expectations,
}

impl Consumer {
    /// The module as it was before the setting that mends it.
    pub(super) fn with_its_bug(&self) -> Module {
        let mut module = self.module.clone();
        if let Some(config) = &mut module.deploy.config {
            config.retain(|(name, _)| name != MENDS);
        }
        module
    }
}

/// The components of its modules, in their order.
pub(super) struct Built {
    pub(super) routers: Vec<Component>,
    pub(super) consumers: Vec<Component>,
}

impl Example {
    /// Looks for it upwards from the current folder, then where this program was built.
    pub(super) fn find() -> Result<Self, Failure> {
        let here = std::env::current_dir().unwrap_or_default();
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = here
            .ancestors()
            .chain([built_in.as_path()])
            .map(|root| root.join(FOLDER))
            .find(|folder| folder.join(logmill_build::project::FILE).is_file());
        match folder {
            Some(folder) => Self::read(folder),
            None => Err(anyhow::anyhow!(
                "there is no {FOLDER} here or above; run the demo in a checkout of the repository"
            )
            .into()),
        }
    }

    fn read(folder: PathBuf) -> Result<Self, Failure> {
        let target = Target::of(&folder)?;
        let lacks = |what: &str| anyhow::anyhow!("{} has no {what}", folder.display());
        let input = target.input.as_ref().ok_or_else(|| lacks("input"))?;
        let (mut routers, mut consumers) = (Vec::new(), Vec::new());
        for module in target.modules {
            match module.world {
                Some(World::Router) => routers.push(module),
                Some(World::Consumer) => {
                    let file =
                        module.expect.as_deref().ok_or_else(|| lacks("expected outcomes"))?;
                    let lines = Expectation::read(file)?;
                    let ghosts = Expectation::read(&folder.join(EXPECTED_GHOSTS))?;
                    let expectations = Expectations { lines, ghosts };
                    let mut config = module.deploy.config.iter().flatten();
                    let mends = config.find(|(name, _)| name == MENDS);
                    let mended_by = mends.ok_or_else(|| lacks(MENDS))?.1.clone();
                    consumers.push(Consumer { module, mended_by, expectations });
                }
                Some(World::Filter) | None => {}
            }
        }
        let (malformed, ghosts) = (folder.join(MALFORMED), folder.join(GHOSTS));
        Ok(Self { feed: Feed::of(input)?, malformed, ghosts, routers, consumers, folder })
    }

    pub(super) fn shown(&self) -> String {
        self.folder.canonicalize().as_ref().unwrap_or(&self.folder).display().to_string()
    }

    pub(super) async fn build(&self) -> Result<Built, Failure> {
        let (mut routers, mut consumers) = (Vec::new(), Vec::new());
        for module in &self.routers {
            routers.push(project::component(module).await?);
        }
        for consumer in &self.consumers {
            consumers.push(project::component(&consumer.module).await?);
        }
        Ok(Built { routers, consumers })
    }
}
