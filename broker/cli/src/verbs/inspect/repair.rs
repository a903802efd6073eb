//! `logmill inspect repair`: accepts what is lost, so that everything else goes on.

use std::path::PathBuf;

use logmill_model::CorruptOffsets;
use serde::Serialize;

use super::{Names, failed, open_writable};
use crate::{Failure, Session};

/// Accept that what can't be read is lost
///
/// The offsets that are lost read as gaps from then on, and deployments that stood still for them
/// go on: one whose cursor was lost goes on from its last known one, and handles again what it had
/// handled since. Where the catalog is lost, topics and deployments that are not known any more are gone,
/// with their records. The damaged bytes stay where they are. Restore from a backup instead, if you have
/// one, or bring a missing file back.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill inspect repair /var/lib/logmill --accept-loss")]
pub(crate) struct Args {
    /// The data directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Say that you accept the loss that `inspect verify` shows
    #[arg(long, required = true)]
    accept_loss: bool,
}

#[derive(Serialize)]
struct Accepted {
    file: String,
    position: u64,
    bytes: u64,
    lost: Vec<CorruptOffsets>,
    may_hide_partitions: bool,
}

impl Args {
    pub(super) fn run(self, session: &mut Session) -> Result<(), Failure> {
        debug_assert!(self.accept_loss, "the flag is required");
        let storage = open_writable(&self.dir)?;
        let names = Names::read(&storage)?;
        let holes = logmill_log::accept_losses(&storage, &names.known).map_err(failed)?;
        for hole in &holes {
            let accepted = Accepted {
                file: hole.path.clone(),
                position: hole.position,
                bytes: hole.bytes,
                lost: names.lost(hole),
                may_hide_partitions: hole.may_hide_partitions,
            };
            session.output.json(&accepted)?;
            let (file, position) = (&accepted.file, accepted.position);
            session.output.text(format_args!("accepted: {file} at byte {position}"))?;
            let mut lost = accepted.lost.iter();
            lost.try_for_each(|lost| session.output.text(format_args!("  {lost}")))?;
        }
        if holes.is_empty() {
            session.output.text("nothing is lost that was not accepted")?;
        }
        Ok(())
    }
}
