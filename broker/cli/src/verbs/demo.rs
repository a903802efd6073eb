//! `logmill demo`: the whole story on real GitHub webhooks, and the proof that it is true.
//!
//! A broker of its own is started as a child process, fed, killed in the middle of its work and
//! started again. A module that gives up records for a bug is mended, and gets them again. Then the
//! topics are read back, and each input must have exactly one outcome, the one that the example's
//! own expectations say.

mod child;
mod copy;
mod deliveries;
mod example;
mod expectation;
mod ledger;
mod progress;
mod story;
mod table;

use std::time::Instant;

use anyhow::Context as _;

use crate::broker::Stop;
use crate::{Failure, Session};

use example::Example;
use story::Story;

/// See it work: webhooks through modules, a broker killed in the middle, nothing lost
///
/// Builds the modules of examples/github-triage, starts a broker with temporary data, produces the
/// 329 deliveries of the example for twenty repositories, some of them twice, and some that can't
/// be handled, kills the broker when a third of them is handled, and starts it again. Then it mends
/// the module, redrives what that gave up for its bug, reads everything back, and fails when an
/// input has no outcome or more than one, or one out of order.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cargo run --release -- demo")]
pub(crate) struct Args {}

impl Args {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let mut stop = Stop::on_signals()?;
        let folder = tempfile::Builder::new()
            .prefix("logmill-demo-")
            .tempdir()
            .context("can't make a temporary folder")?;
        let example = Example::find()?;
        session.output.text(format_args!("Building the modules of {}", example.shown()))?;
        session.output.flush()?;
        let started = Instant::now();
        let story = async {
            let built = example.build().await?;
            Story::tell(session, folder.path(), &example, built).await
        };
        let told = tokio::select! {
            told = story => told,
            () = stop.asked() => return Err(anyhow::anyhow!("the demo was stopped").into()),
        };
        match told {
            Ok(report) => {
                session.output.json(&report)?;
                session.output.text(format_args!("\nIt took {:.1?}. {NEXT}", started.elapsed()))
            }
            Err(failure) => {
                let kept = folder.keep();
                let note = format!("the broker's data and log are kept in {}", kept.display());
                crate::terminal::note(&note);
                Err(failure)
            }
        }
    }
}

const NEXT: &str = "Where to look next:
  examples/github-triage/README.md   what the modules do, file by file
  logmill dev examples/github-triage runs them on a broker of yours; edit them and try again
  logmill module new DIR             starts a module of your own
  broker/ARCHITECTURE.md             how the broker keeps its promise";
