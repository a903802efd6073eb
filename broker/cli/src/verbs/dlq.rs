//! `logmill dlq`: the records that modules could not handle.

mod letters;
mod ls;
mod show;

use clap::Subcommand;

use crate::{Failure, Session};

pub(crate) use letters::{Letter, Letters};

/// See the records that modules could not handle
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  logmill dlq ls\n  logmill dlq show triage --reason rejected")]
pub(crate) enum Verb {
    Ls(ls::Args),
    Show(show::Args),
}

impl Verb {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::Ls(args) => args.run(session).await,
            Self::Show(args) => args.run(session).await,
        }
    }
}
