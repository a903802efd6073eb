//! `logmill module`: build, deploy and look after modules.

mod new;

use clap::Subcommand;

use crate::{Failure, Session};

/// Build, deploy and look after modules
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  logmill module new greeter\n  logmill module deploy greeter")]
pub(crate) enum Verb {
    New(new::Args),
}

impl Verb {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::New(args) => args.run(session),
        }
    }
}
