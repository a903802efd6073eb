//! `logmill module check`: what the broker would say to a module, without a broker.

use std::path::PathBuf;

use anyhow::Context as _;
use logmill_model::World;
use logmill_wasm::{Runtime, Settings};
use serde::Serialize;

use crate::project::{self, Component, Target};
use crate::quantity::shown_bytes;
use crate::{Failure, Session};

/// Say whether the broker would take a module, and if not, why
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  logmill module check greeter\n  logmill module check greeter.wasm"
)]
pub(crate) struct Args {
    /// A module's folder or a component
    #[arg(value_name = "DIR|FILE.wasm")]
    path: PathBuf,
}

/// What was found out about a module.
#[derive(Debug, Serialize)]
struct Finding {
    name: String,
    path: PathBuf,
    bytes: u64,
    digest: String,
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    exports: Vec<World>,
    imports: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compile_ms: Option<u64>,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let mut refused = None;
        for module in Target::of(&self.path)?.modules {
            let component = project::component(&module).await?;
            let finding = tokio::task::spawn_blocking(move || examine(module.name, component))
                .await
                .context("the check was given up")?;
            session.output.json(&finding)?;
            show(session, &finding)?;
            let Finding { name, reason, .. } = finding;
            if let (None, Some(reason)) = (&refused, reason) {
                refused = Some(format!("{name} would be refused: {reason}"));
            }
        }
        refused.map_or(Ok(()), |refused| Err(Failure::Negative(refused)))
    }
}

/// Compiles without a cache, so that the time is that of the first deploy.
fn examine(name: String, component: Component) -> Finding {
    let compiled =
        Runtime::new(Settings::default()).and_then(|runtime| runtime.compile(&component.bytes));
    let Component { built, .. } = component;
    let finding = Finding {
        name,
        path: built.path,
        bytes: built.bytes,
        digest: built.digest,
        accepted: compiled.is_ok(),
        reason: None,
        exports: Vec::new(),
        imports: Vec::new(),
        compile_ms: None,
    };
    match compiled {
        Ok(module) => Finding {
            exports: module.worlds().to_vec(),
            imports: module.imports().to_vec(),
            compile_ms: Some(module.compile_ms()),
            ..finding
        },
        Err(error) => Finding { reason: Some(error.to_string()), ..finding },
    }
}

fn show(session: &mut Session, finding: &Finding) -> Result<(), Failure> {
    let Some(compile_ms) = finding.compile_ms else { return Ok(()) };
    let exports: Vec<_> = finding.exports.iter().map(ToString::to_string).collect();
    let imports =
        if finding.imports.is_empty() { "nothing".to_owned() } else { finding.imports.join(", ") };
    let output = &mut session.output;
    output.text(format_args!("{}: {}", finding.name, finding.path.display()))?;
    output.text(format_args!("  size      {}", shown_bytes(finding.bytes)))?;
    output.text(format_args!("  digest    {}", finding.digest))?;
    output.text(format_args!("  exports   {}", exports.join(", ")))?;
    output.text(format_args!("  imports   {imports}"))?;
    output.text(format_args!("  compiled  in {compile_ms} ms"))
}
