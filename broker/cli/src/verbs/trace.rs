//! `logmill trace`.

use logmill_model::{Offset, TopicName, Trace, TracedAttempt, TracedOutput, Waiting};

use crate::quantity::shown_attempts;
use crate::{Failure, Output, Session, time};

/// Show what became of a record: each attempt of each consumer, and what it wrote
///
/// Consumers that have not handled it yet are told at the end. Routers and filters leave no trace.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill trace github.events 0 1200")]
pub(crate) struct Args {
    /// The record's topic
    topic: TopicName,
    /// Its partition
    partition: u32,
    /// Its offset
    offset: u64,
}

impl Args {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let Self { topic, partition, offset } = self;
        let admin = session.admin().await?;
        let trace = admin.trace(topic, partition, Offset(offset)).await?;
        for attempt in &trace.attempts {
            session.output.json(attempt)?;
        }
        for waiting in &trace.waiting {
            session.output.json(&serde_json::json!({
                "deployment": waiting.deployment,
                "verdict": "waiting",
                "attempts": waiting.attempts,
                "retry_at": waiting.retry_at,
            }))?;
        }
        show(&mut session.output, &trace)
    }
}

fn show(output: &mut Output, trace: &Trace) -> Result<(), Failure> {
    for TracedAttempt { deployment, version, attempt, verdict, reason, ts, outputs } in
        &trace.attempts
    {
        let reason = reason.map(|it| format!(" ({it})")).unwrap_or_default();
        let (ts, verdict) = (time::shown(*ts), verdict.as_str());
        output.text(format_args!(
            "{ts}  {deployment} v{version} attempt {attempt}: {verdict}{reason}"
        ))?;
        for TracedOutput { topic, partition, offset } in outputs {
            let topic = topic.as_ref().map_or("a topic that was deleted", |it| it.as_str());
            match offset {
                Some(offset) => {
                    output.text(format_args!("    wrote {topic}/{partition} {offset}"))?
                }
                None => {
                    output.text(format_args!("    wrote to {topic}/{partition}; it is gone"))?
                }
            }
        }
    }
    for Waiting { deployment, attempts, retry_at } in &trace.waiting {
        let when = match retry_at {
            Some(at) => format!("tried again at {}", time::shown(*at)),
            None => "its turn has not come".to_owned(),
        };
        output.text(format_args!(
            "{deployment}: waiting after {}, {when}",
            shown_attempts(*attempts)
        ))?;
    }
    if trace.attempts.is_empty() && trace.waiting.is_empty() {
        output.text(format_args!("no consumer has handled it, and none is to"))?;
    }
    if !trace.is_whole {
        output.text(format_args!(
            "there may be later attempts: only the first decisions after it were looked through"
        ))?;
    }
    Ok(())
}
