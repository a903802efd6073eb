//! `logmill module reset`.

use logmill_model::{DeploymentName, Position, ResetRequest, TopicName};

use crate::confirm::Consent;
use crate::{Failure, Session};

/// Move the cursors of a deployment: it handles records again, or skips some
///
/// What it handles again has its outcome again: outputs, dead letters and counts come on top of those
/// that are there. Records that wait for another attempt are forgotten, and handled anew where the cursor comes
/// to them. A paused deployment stays paused. What it remembers it keeps, unless told otherwise: records whose
/// idempotency key it has claimed are duplicates still.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill module reset triage --to earliest --yes\n  \
    logmill module reset triage --to 1200 --topic github.events --partition 3 --yes")]
pub(crate) struct Args {
    /// The deployment
    name: DeploymentName,
    /// Where it goes on: earliest, latest, an offset, @TIME or -DURATION
    #[arg(long, value_name = "POSITION", allow_hyphen_values = true)]
    to: Position,
    /// Only on this topic
    #[arg(long)]
    topic: Option<TopicName>,
    /// Only on this partition; an offset needs it where there are several
    #[arg(long)]
    partition: Option<u32>,
    /// Forget the keys that were claimed, in all lanes: their records are no duplicates any more. State
    /// that counts them counts them again, unless that is forgotten as well
    #[arg(long)]
    forget_claims: bool,
    /// Forget what the module remembers, in the lanes that are moved. Records whose keys are claimed do
    /// not bring it back, unless the claims are forgotten as well
    #[arg(long)]
    forget_state: bool,
    #[command(flatten)]
    consent: Consent,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let Self { name, to, topic, partition, forget_claims, forget_state, consent } = self;
        let what = format!("move cursors of {name} to {to}");
        consent.check(&what)?;
        let admin = session.admin().await?;
        let known = admin.deployment(name.clone()).await?;
        consent.require(&format!("{what}; it is a {}, {}", known.world, known.state.as_str()))?;
        let request = ResetRequest { name, to, topic, partition, forget_claims, forget_state };
        let moved = admin.reset(request).await?;
        for lane in moved {
            session.output.json(&lane)?;
            let (topic, partition, from, to) = (&lane.topic, lane.partition, lane.from, lane.to);
            session
                .output
                .text(format_args!("{topic}/{partition} goes on at {to}, was at {from}"))?;
        }
        if forget_claims {
            session.output.text("all keys that it has claimed are forgotten")?;
        }
        if forget_state {
            session.output.text("what its module remembers in these lanes is forgotten")?;
        }
        Ok(())
    }
}
