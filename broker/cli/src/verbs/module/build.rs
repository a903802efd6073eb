//! `logmill module build`.

use std::path::PathBuf;

use crate::project::{self, Target};
use crate::quantity::shown_bytes;
use crate::{Failure, Session};

/// Build a folder's modules into components
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill module build greeter")]
pub(crate) struct Args {
    /// A module's folder
    dir: PathBuf,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        for module in Target::of(&self.dir)?.modules {
            let built = project::component(&module).await?.built;
            session.output.json(&serde_json::json!({
                "name": module.name,
                "path": built.path,
                "bytes": built.bytes,
                "digest": built.digest,
                "worlds": built.worlds,
            }))?;
            let (path, size) = (built.path.display(), shown_bytes(built.bytes));
            session.output.text(format_args!("{path}  {size}  {}", built.digest))?;
        }
        Ok(())
    }
}
