//! `logmill module`: build, deploy and look after modules.

mod build;
mod check;
mod delete;
pub(crate) mod deploy;
pub(crate) mod describe;
pub(crate) mod logs;
pub(crate) mod ls;
mod new;
mod pause;
mod reset;
mod resume;
mod state;

use clap::Subcommand;

use crate::{Failure, Session};

/// Build, deploy and look after modules
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  logmill module new greeter\n  logmill module deploy greeter")]
pub(crate) enum Verb {
    New(new::Args),
    Build(build::Args),
    Check(check::Args),
    Deploy(deploy::Args),
    Ls(ls::Args),
    Describe(describe::Args),
    Logs(logs::Args),
    Pause(pause::Args),
    Resume(resume::Args),
    Reset(reset::Args),
    State(state::Args),
    Delete(delete::Args),
}

impl Verb {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::New(args) => args.run(session),
            Self::Build(args) => args.run(session).await,
            Self::Check(args) => args.run(session).await,
            Self::Deploy(args) => args.run(session).await,
            Self::Ls(args) => args.run(session).await,
            Self::Describe(args) => args.run(session).await,
            Self::Logs(args) => args.run(session).await,
            Self::Pause(args) => args.run(session).await,
            Self::Resume(args) => args.run(session).await,
            Self::Reset(args) => args.run(session).await,
            Self::State(args) => args.run(session).await,
            Self::Delete(args) => args.run(session).await,
        }
    }
}
