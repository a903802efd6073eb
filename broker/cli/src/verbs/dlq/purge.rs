//! `logmill dlq purge`.

use logmill_client::{LettersMarked, Offset};
use logmill_model::{DeploymentName, limits::LETTERS_MAX};
use serde::Serialize;

use super::again::until_done;
use super::selection::{Filter, Selection};
use crate::confirm::Consent;
use crate::{Failure, Session, terminal};

/// Give dead letters up
///
/// They stay in their topic, where `dlq show --all` shows them, until its retention removes them; but
/// they are neither counted nor redriven any more.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill dlq purge triage --reason rejected --yes")]
pub(crate) struct Args {
    /// The deployment
    name: DeploymentName,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, Serialize)]
struct Purged<'a> {
    deployment: &'a DeploymentName,
    purged: u64,
    /// How many others had redriven or purged before.
    not_open: u64,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let Self { name, filter, consent } = self;
        let what = format!("give up dead letters of {name}, so that they are never redriven");
        consent.require(&what)?;
        let admin = session.admin().await?;
        let mut selection = Selection::of(admin.clone(), &name, filter).await?;
        let (progress, mut all) = (terminal::counter("letters purged"), LettersMarked::default());
        while let Some(window) = selection.next().await? {
            let offsets: Vec<Offset> = window.letters.iter().map(|it| it.offset).collect();
            for piece in offsets.chunks(LETTERS_MAX) {
                let marked = until_done(async || {
                    let piece = piece.to_vec();
                    admin.purge_dead_letters(name.clone(), window.partition, piece).await
                })
                .await?;
                all.marked += marked.marked;
                all.not_open += marked.not_open;
                progress.set_position(all.marked);
            }
        }
        progress.finish_and_clear();
        let not_open = all.not_open + selection.not_open;
        let purged = Purged { deployment: &name, purged: all.marked, not_open };
        session.output.json(&purged)?;
        session.output.text(format_args!("purged: {} of {}", all.marked, selection.topic()))
    }
}
