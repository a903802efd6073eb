//! `logmill dlq show`.

use logmill_model::{DeadLetter, DeploymentName, LetterStatus};

use super::{Letter, Letters, reasons};
use crate::quantity::shown_attempts;
use crate::record_json::{Place, PlacedRecord};
use crate::{Failure, Output, Session, record_text, time};

/// Show a deployment's open dead letters and why they died
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill dlq show triage --reason rejected --max 10")]
pub(crate) struct Args {
    /// The deployment
    name: DeploymentName,
    /// Only those of this reason
    #[arg(long, value_name = "R", value_parser = reasons())]
    reason: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N")]
    max: Option<usize>,
    /// Also those that were redriven or purged
    #[arg(long)]
    all: bool,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let client = session.client().await?;
        let deployment = client.admin().deployment(self.name.clone()).await?;
        let topic = deployment.settings.dlq.to_string();
        let mut letters = Letters::of(&client, &deployment).await?;
        let mut rest = self.max.unwrap_or(usize::MAX);
        while rest > 0 {
            let Some(letter) = letters.next().await? else { break };
            let is_wanted = self.all || letter.status == LetterStatus::Open;
            if is_wanted && self.reason.as_ref().is_none_or(|it| *it == letter.death.reason) {
                show(&mut session.output, &topic, &letter)?;
                rest -= 1;
            }
        }
        Ok(())
    }
}

fn show(output: &mut Output, topic: &str, letter: &Letter) -> Result<(), Failure> {
    let Letter { consumed, death, status } = letter;
    if output.is_json() {
        let place = Place {
            topic,
            partition: consumed.partition,
            offset: consumed.offset,
            append_ts: consumed.append_ts,
        };
        return output.json(&PlacedRecord::new(place, &consumed.record).with_death(death, *status));
    }
    let (at, source) = (time::shown(death.last_failed_ts), &death.source);
    let status = match status {
        LetterStatus::Open => String::new(),
        status => format!("{}: ", status.as_str()),
    };
    output.text(format_args!(
        "{topic}/{}@{}  {at}  {status}{} after {}: {}",
        consumed.partition,
        consumed.offset,
        death.reason,
        shown_attempts(death.attempts),
        death.detail
    ))?;
    output.text(format_args!(
        "  was {}/{}@{}, given up by {} version {}",
        source.topic, source.partition, source.offset, death.deployment, death.version
    ))?;
    for later in &death.history {
        output.text(format_args!("  and again: {later}"))?;
    }
    let record = DeadLetter::original(&consumed.record);
    output.text(format_args!("  {}", record_text::shown(&record)))
}
