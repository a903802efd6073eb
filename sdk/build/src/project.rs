//! The project file `logmill.toml`: what the modules of a folder are and how they are deployed.

mod file;

use std::path::{Path, PathBuf};

use crate::{Error, World};

/// The name of the project file.
pub const FILE: &str = "logmill.toml";

/// A folder with a project file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The folder.
    pub folder: PathBuf,
    /// Its modules, at least one, in the order of the file, with different names.
    pub modules: Vec<Module>,
    /// What to feed them.
    pub input: Option<Input>,
}

/// A module of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// The deployment's name.
    pub name: String,
    /// What it is used as; None is the only world that it exports.
    pub world: Option<World>,
    /// Its own folder.
    pub folder: PathBuf,
    /// Where its component comes from.
    pub source: Source,
    /// How to deploy it.
    pub deploy: Deploy,
    /// The file that says what should come of the input.
    pub expect: Option<PathBuf>,
}

/// Where a component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The Rust crate in the module's folder.
    Cargo,
    /// A file that is there.
    Component(PathBuf),
    /// A file that a command makes, run by `sh -c` in the module's folder.
    Command {
        /// The command.
        command: String,
        /// The file.
        component: PathBuf,
    },
}

/// How to deploy a module: what the file says, None where it is silent. Names are text as
/// written; only units are worked out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deploy {
    /// `on`: the topics it works on.
    pub on: Option<Vec<String>>,
    /// `out`: the topics that it may write to.
    pub out: Option<Vec<Grant>>,
    /// `[deploy.config]`, sorted by name. Numbers and booleans are their text.
    pub config: Option<Vec<(String, String)>>,
    /// `from`: where to start.
    pub from: Option<String>,
    /// `max_attempts`: failed attempts until a record is dead-lettered.
    pub max_attempts: Option<u32>,
    /// `backoff`: how long a failed record waits.
    pub backoff: Option<String>,
    /// `order`: what a record that waits for another attempt holds up.
    pub order: Option<String>,
    /// `max_parked`: most records of a partition that may wait at once with `order = "key"`.
    pub max_parked: Option<u32>,
    /// `dlq`: where dead letters go.
    pub dlq: Option<String>,
    /// `idempotency`: where a record has its idempotency key.
    pub idempotency: Option<String>,
    /// `idempotency_window`: how long a claimed key is remembered, in milliseconds.
    pub idempotency_window_ms: Option<u64>,
    /// `unrouted`: what happens to a record without a route.
    pub unrouted: Option<String>,
    /// `memory`: memory of one instance, in bytes.
    pub memory_bytes: Option<u64>,
    /// `deadline`: what one call may use, in milliseconds.
    pub deadline_ms: Option<u64>,
    /// `paused`: whether to leave it standing until it is resumed.
    pub paused: Option<bool>,
}

/// A topic that a module may write to: `[alias=]topic`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// None: known by the topic's own name.
    pub alias: Option<String>,
    /// The topic.
    pub topic: String,
}

impl From<&str> for Grant {
    fn from(text: &str) -> Self {
        match text.split_once('=') {
            Some((alias, topic)) => Self { alias: Some(alias.into()), topic: topic.into() },
            None => Self { alias: None, topic: text.into() },
        }
    }
}

/// What to feed the modules: a file of JSON, one value a line, and JSON pointers into them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The file.
    pub file: PathBuf,
    /// The topic to produce to.
    pub topic: String,
    /// Pointer to the key.
    pub key: Option<String>,
    /// Pointer to the value; None is the whole line.
    pub value: Option<String>,
    /// Names of headers with pointers to their values, sorted by name.
    pub headers: Vec<(String, String)>,
    /// Pointer to the idempotency key.
    pub idempotency_key: Option<String>,
}

impl Project {
    /// Reads the project file of a folder.
    ///
    /// # Errors
    /// [`Error::NoProjectFile`], [`Error::ProjectFile`], [`Error::Io`].
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                Self::parse(&text, folder).map_err(|what| Error::ProjectFile { file: path, what })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::NoProjectFile { folder: folder.to_owned() })
            }
            Err(error) => Err(Error::io("can't read", path, error)),
        }
    }

    /// Reads the text of the project file of `folder`, which is not looked at.
    ///
    /// # Errors
    /// What is wrong, and where in the text.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        file::parse(text)?.into_project(folder)
    }

    /// The module of this name.
    #[must_use]
    pub fn module(&self, name: &str) -> Option<&Module> {
        self.modules.iter().find(|module| module.name == name)
    }
}

#[cfg(test)]
mod tests;
