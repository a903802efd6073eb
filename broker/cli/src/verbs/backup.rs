//! `logmill backup`: a verified copy of all that is durable, while the broker works.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use logmill_client::Admin;

use crate::quantity::shown_bytes;
use crate::{Failure, Session, terminal};

/// How often it is asked how far the backup is.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Copy all that is durable to a directory, verified, while the broker works
///
/// The broker writes the copy, so TO is a directory of the machine that it runs on: an empty one,
/// or one with an earlier backup, of which only what has changed is copied. A backup that was
/// interrupted goes on where it was. To restore, serve a copy of the directory; certificate and
/// token are made anew there.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  logmill backup /mnt/backups/logmill\n\nTo restore:\n  cp -r /mnt/backups/logmill /var/lib/logmill\n  logmill serve --data /var/lib/logmill"
)]
pub(crate) struct Args {
    /// The directory; it is made if it is missing
    to: PathBuf,
}

impl Args {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let to = std::path::absolute(&self.to).context("can't tell the current directory")?;
        let to = to.to_str().map(str::to_owned).ok_or_else(|| {
            Failure::Usage(format!("{} is not UTF-8, which a path must be here", to.display()))
        })?;
        let admin = session.admin().await?;
        let watching = admin.clone();
        let report = tokio::select! {
            report = admin.backup(to) => report?,
            never = show_progress(&watching) => match never {},
        };
        session.output.json(&report)?;
        session.output.text(format_args!(
            "backed up all up to commit {}: {} files, {}, of which {} were copied, to {}",
            report.csn,
            report.files,
            shown_bytes(report.bytes),
            shown_bytes(report.copied_bytes),
            report.to
        ))
    }
}

/// Shows how far the backup is, for as long as it is polled.
async fn show_progress(admin: &Admin) -> std::convert::Infallible {
    let line = terminal::spinner("{spinner} copied {msg}");
    let mut every = tokio::time::interval(ASK_EVERY);
    loop {
        every.tick().await;
        // What can't be told now is told the next time.
        if let Ok(status) = admin.status().await
            && let Some(backup) = status.backup
        {
            line.set_message(format!(
                "{} of {}",
                shown_bytes(backup.done_bytes),
                shown_bytes(backup.total_bytes)
            ));
        }
    }
}
