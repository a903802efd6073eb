//! `logmill bench`: how fast a broker is, beside what its disk and its network could do.

mod latency;
mod load;
mod machine;
mod pace;
mod payload;
mod plan;
mod produce;
mod raw_disk;
mod raw_quic;
mod report;
mod target;

use clap::Subcommand;

use crate::{Failure, Session};

pub(crate) use pace::Pace;

/// Measure how fast a broker is, beside what its disk and its network could do
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  logmill bench produce\n  logmill bench produce --rate 20000/s -o json"
)]
pub(crate) enum Verb {
    Produce(produce::Args),
}

impl Verb {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::Produce(args) => args.run(session).await,
        }
    }
}
