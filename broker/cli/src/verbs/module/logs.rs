//! `logmill module logs`.

use std::time::Duration;

use logmill_client::{Admin, LogQuery};
use logmill_model::{DeploymentName, LogLevel, ModuleLogLine, Timestamp};
use serde::Serialize;

use crate::quantity::parse_ms;
use crate::{Failure, Output, Session, time};

/// How long the broker holds a question for new lines before it answers that there are none.
const WAIT: Duration = Duration::from_secs(20);

/// Show what a module wrote to its log since the broker's start
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill module logs triage -f --level warn")]
pub(crate) struct Args {
    /// The deployment
    name: DeploymentName,
    /// Go on with new lines as they come
    #[arg(short)]
    follow: bool,
    /// Only lines of this level and worse: trace, debug, info, warn or error
    #[arg(long, value_name = "LEVEL", default_value = "trace")]
    level: LogLevel,
    /// Only lines of this last stretch of time, as in 10m
    #[arg(long, value_name = "D", value_parser = parse_ms)]
    since: Option<u64>,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let admin = session.admin().await?;
        let now = logmill_engine::clock::now();
        let oldest = self.since.map_or(Timestamp::ZERO, |ms| Timestamp(now.0.saturating_sub(ms)));
        let mut log = ModuleLog::new(admin, self.name);
        loop {
            let lines = log.next(if self.follow { WAIT } else { Duration::ZERO }).await?;
            let is_end = lines.is_empty();
            for line in lines.iter().filter(|it| it.level >= self.level && it.ts >= oldest) {
                show(&mut session.output, &log.name, line)?;
            }
            session.output.flush()?;
            if is_end && !self.follow {
                return Ok(());
            }
        }
    }
}

/// A deployment's log, line after line.
#[derive(Debug)]
pub(crate) struct ModuleLog {
    admin: Admin,
    name: DeploymentName,
    after: Option<u64>,
}

impl ModuleLog {
    pub(crate) fn new(admin: Admin, name: DeploymentName) -> Self {
        Self { admin, name, after: None }
    }

    /// The lines that follow, or none when there is none within `wait`.
    pub(crate) async fn next(&mut self, wait: Duration) -> Result<Vec<ModuleLogLine>, Failure> {
        let query = LogQuery { after: self.after, wait, ..LogQuery::default() };
        let lines = self.admin.module_logs(self.name.clone(), query).await?;
        self.after = lines.last().map(|line| line.sequence).or(self.after);
        Ok(lines)
    }
}

/// A line with the deployment it belongs to.
#[derive(Serialize)]
struct NamedLine<'a> {
    deployment: &'a DeploymentName,
    #[serde(flatten)]
    line: &'a ModuleLogLine,
}

/// Prints a line of a module's log.
pub(crate) fn show(
    output: &mut Output,
    deployment: &DeploymentName,
    line: &ModuleLogLine,
) -> Result<(), Failure> {
    output.json(&NamedLine { deployment, line })?;
    let place = match (&line.topic, line.partition, line.offset) {
        (Some(topic), Some(partition), Some(offset)) => format!(" {topic}/{partition}@{offset}"),
        (Some(topic), ..) => format!(" {topic}"),
        _ => String::new(),
    };
    let (at, level) = (time::shown(line.ts), line.level.as_str());
    output.text(format_args!("{at} {level:<5} {deployment}{place}: {}", line.text))
}
