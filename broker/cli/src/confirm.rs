//! Asks before something is destroyed: on a terminal in words, elsewhere by needing `--yes`.

use crate::{Failure, terminal};

/// The flag of every command that destroys.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Consent {
    /// Don't ask
    #[arg(long)]
    yes: bool,
}

impl Consent {
    /// Refuses where nobody can be asked and the flag was not given: before anything is looked at.
    /// `what` is what is to happen, as in `delete topic orders`.
    pub(crate) fn check(self, what: &str) -> Result<(), Failure> {
        if self.yes || terminal::is_interactive() {
            return Ok(());
        }
        Err(Failure::usage(format!("this would {what}; add --yes to do it")))
    }

    /// Goes on when the flag was given, or when the person at the terminal agrees.
    pub(crate) fn require(self, what: &str) -> Result<(), Failure> {
        self.check(what)?;
        if self.yes || terminal::ask(&format!("This will {what}."))? {
            return Ok(());
        }
        Err(anyhow::anyhow!("nothing was changed, since the answer was no").into())
    }
}
