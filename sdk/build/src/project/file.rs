//! The project file as it is written. Every key is known or an error that names it; every path
//! starts at the folder of the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::{Deploy, Grant, Input, Module, Project, Source};
use crate::{World, parse_bytes, parse_ms};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProjectFile {
    name: Option<String>,
    world: Option<World>,
    build: Option<String>,
    component: Option<PathBuf>,
    input: Option<InputTable>,
    deploy: Option<DeployTable>,
    expect: Option<ExpectTable>,
    #[serde(default, rename = "module")]
    modules: Vec<ModuleTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModuleTable {
    name: String,
    world: Option<World>,
    path: PathBuf,
    build: Option<String>,
    component: Option<PathBuf>,
    #[serde(default)]
    deploy: DeployTable,
    expect: Option<ExpectTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectTable {
    file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct InputTable {
    file: PathBuf,
    topic: String,
    key: Option<String>,
    value: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    idempotency_key: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct DeployTable {
    on: Option<Vec<String>>,
    out: Option<Vec<String>>,
    config: Option<BTreeMap<String, Setting>>,
    from: Option<Setting>,
    max_attempts: Option<u32>,
    backoff: Option<String>,
    order: Option<String>,
    max_parked: Option<u32>,
    dlq: Option<String>,
    idempotency: Option<String>,
    #[serde(default, deserialize_with = "ms")]
    idempotency_window: Option<u64>,
    unrouted: Option<Unrouted>,
    #[serde(default, deserialize_with = "bytes")]
    memory: Option<u64>,
    #[serde(default, deserialize_with = "ms")]
    deadline: Option<u64>,
    paused: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unrouted {
    Keep,
    Refuse,
}

/// Text, or what has an obvious text.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected text, a number or a boolean")]
enum Setting {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
}

impl From<Setting> for String {
    fn from(setting: Setting) -> Self {
        match setting {
            Setting::Text(text) => text,
            Setting::Integer(number) => number.to_string(),
            Setting::Float(number) => number.to_string(),
            Setting::Boolean(yes) => yes.to_string(),
        }
    }
}

fn bytes<'de, D: Deserializer<'de>>(text: D) -> Result<Option<u64>, D::Error> {
    let text = String::from(Setting::deserialize(text)?);
    parse_bytes(&text).map(Some).map_err(D::Error::custom)
}

fn ms<'de, D: Deserializer<'de>>(text: D) -> Result<Option<u64>, D::Error> {
    parse_ms(&String::deserialize(text)?).map(Some).map_err(D::Error::custom)
}

pub(super) fn parse(text: &str) -> Result<ProjectFile, String> {
    toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
}

impl ProjectFile {
    pub(super) fn into_project(mut self, folder: &Path) -> Result<Project, String> {
        let input = self.input.take().map(|input| input.into_input(folder));
        let tables = if self.modules.is_empty() {
            vec![self.into_only_module()?]
        } else {
            self.into_modules()?
        };
        let mut modules: Vec<Module> = Vec::with_capacity(tables.len());
        for table in tables {
            if modules.iter().any(|module| module.name == table.name) {
                return Err(format!(
                    "two modules have the name {:?}; give each its own",
                    table.name
                ));
            }
            modules.push(table.into_module(folder)?);
        }
        Ok(Project { folder: folder.to_owned(), modules, input })
    }

    fn into_only_module(self) -> Result<ModuleTable, String> {
        let name = self.name.ok_or("it has neither a `name` nor a `[[module]]`; give it a name")?;
        Ok(ModuleTable {
            name,
            world: self.world,
            path: PathBuf::new(),
            build: self.build,
            component: self.component,
            deploy: self.deploy.unwrap_or_default(),
            expect: self.expect,
        })
    }

    fn into_modules(self) -> Result<Vec<ModuleTable>, String> {
        let misplaced = [
            ("name", self.name.is_some()),
            ("world", self.world.is_some()),
            ("build", self.build.is_some()),
            ("component", self.component.is_some()),
            ("deploy", self.deploy.is_some()),
            ("expect", self.expect.is_some()),
        ];
        match misplaced.iter().find(|(_, there)| *there) {
            Some((key, _)) => Err(format!(
                "`{key}` belongs to one module, and there are several; move it under its [[module]]"
            )),
            None => Ok(self.modules),
        }
    }
}

impl ModuleTable {
    fn into_module(self, folder: &Path) -> Result<Module, String> {
        let source = match (self.build, self.component) {
            (None, None) => Source::Cargo,
            (None, Some(component)) => Source::Component(folder.join(component)),
            (Some(command), Some(component)) => {
                Source::Command { command, component: folder.join(component) }
            }
            (Some(_), None) => {
                let name = self.name;
                return Err(format!(
                    "the module {name:?} has a `build` but no `component`; name the file it makes"
                ));
            }
        };
        Ok(Module {
            name: self.name,
            world: self.world,
            source,
            deploy: self.deploy.into(),
            expect: self.expect.map(|expect| folder.join(expect.file)),
            folder: join(folder, &self.path),
        })
    }
}

/// `folder/` joined with nothing would print with a slash at its end.
fn join(folder: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { folder.to_owned() } else { folder.join(path) }
}

impl InputTable {
    fn into_input(self, folder: &Path) -> Input {
        Input {
            file: folder.join(self.file),
            topic: self.topic,
            key: self.key,
            value: self.value,
            headers: self.headers.into_iter().collect(),
            idempotency_key: self.idempotency_key,
        }
    }
}

impl From<DeployTable> for Deploy {
    fn from(table: DeployTable) -> Self {
        Self {
            on: table.on,
            out: table.out.map(|out| out.iter().map(|grant| Grant::from(&**grant)).collect()),
            config: table.config.map(|config| {
                config.into_iter().map(|(name, value)| (name, value.into())).collect()
            }),
            from: table.from.map(Into::into),
            max_attempts: table.max_attempts,
            backoff: table.backoff,
            order: table.order,
            max_parked: table.max_parked,
            dlq: table.dlq,
            idempotency: table.idempotency,
            idempotency_window_ms: table.idempotency_window,
            unrouted: table.unrouted.map(|unrouted| {
                match unrouted {
                    Unrouted::Keep => "keep",
                    Unrouted::Refuse => "refuse",
                }
                .to_owned()
            }),
            memory_bytes: table.memory,
            deadline_ms: table.deadline,
            paused: table.paused,
        }
    }
}
