//! `logmill dlq`: the records that modules could not handle.

mod again;
mod edit;
mod letters;
mod ls;
mod purge;
mod redrive;
mod selection;
mod show;

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use logmill_model::FailureReason;

use crate::{Failure, Session};

pub(crate) use letters::{Letter, Letters};
pub(crate) use redrive::redrive;

/// See the records that modules could not handle, and have them handled again
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  logmill dlq ls\n  logmill dlq show triage --reason rejected\n  logmill dlq redrive triage"
)]
pub(crate) enum Verb {
    Ls(ls::Args),
    Show(show::Args),
    Redrive(redrive::Args),
    Edit(edit::Args),
    Purge(purge::Args),
}

/// The reasons of dead letters that a command may ask for.
fn reasons() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(FailureReason::ALL.map(FailureReason::as_str))
}

impl Verb {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::Ls(args) => args.run(session).await,
            Self::Show(args) => args.run(session).await,
            Self::Redrive(args) => args.run(session).await,
            Self::Edit(args) => args.run(session).await,
            Self::Purge(args) => args.run(session).await,
        }
    }
}
