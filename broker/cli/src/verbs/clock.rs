//! `logmill clock accept`: what ends the refusal of a wall clock that has jumped.

use crate::{Failure, Session};

/// The broker's clock
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Example:\n  logmill clock accept")]
pub(crate) enum Verb {
    /// Make the broker believe its machine's clock, after that was set by more than an hour
    ///
    /// Until then the broker goes by the time since the machine's boot, so that a clock that is
    /// wrong for a moment makes retention remove nothing. `logmill status` shows both times.
    #[command(after_help = "Example:\n  logmill clock accept")]
    Accept,
}

impl Verb {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let Self::Accept = self;
        session.admin().await?.accept_clock().await?;
        session.output.json(&serde_json::json!({"accepted": true}))?;
        session.output.text("the broker goes by its machine's clock")
    }
}
