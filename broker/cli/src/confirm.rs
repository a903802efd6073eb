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
    /// Goes on when the flag was given, or when the person at the terminal agrees. `what` is
    /// what will happen, as in `delete topic orders with its 3 records`.
    pub(crate) fn require(self, what: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !terminal::is_interactive() {
            return Err(Failure::usage(format!("this would {what}; add --yes to do it")));
        }
        if terminal::ask(&format!("This will {what}."))? {
            return Ok(());
        }
        Err(anyhow::anyhow!("nothing was changed, since the answer was no").into())
    }
}
