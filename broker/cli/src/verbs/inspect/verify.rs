//! `logmill inspect verify`: reads every byte and tells what is not as it was written.

use std::path::PathBuf;

use logmill_log::{Cost, FileReport, Finding};
use serde::Serialize;

use super::{Lost, Names, failed, open, shown};
use crate::quantity::shown_bytes;
use crate::{Failure, Session};

/// Read everything in a data directory, and tell what is damaged
///
/// Exits with 3 when there is a finding, unless all of them are losses that were accepted. Nothing is
/// changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill inspect verify /var/lib/logmill")]
pub(crate) struct Args {
    /// The data directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Serialize)]
struct Report {
    file: String,
    entries: u64,
    bytes: u64,
    findings: Vec<Found>,
}

#[derive(Serialize)]
struct Found {
    file: String,
    position: u64,
    bytes: u64,
    what: String,
    accepted: bool,
    lost: Vec<Lost>,
    may_hide_partitions: bool,
}

impl Args {
    pub(super) fn run(self, session: &mut Session) -> Result<(), Failure> {
        let storage = open(&self.dir)?;
        let names = Names::read(&storage)?;
        let mut reports = Vec::new();
        let findings = logmill_log::verify(&storage, &mut |report| reports.push(report));
        let findings = findings.map_err(failed)?;
        let count = |cost| {
            reports
                .iter()
                .flat_map(|it| &it.findings)
                .filter(|finding| finding.cost == cost)
                .count()
        };
        let (losses, accepted) = (count(Cost::Loss), count(Cost::Accepted));
        for report in reports {
            let report = Report::of(report, &names);
            session.output.json(&report)?;
            report.show(session)?;
        }
        let dir = self.dir.display();
        match (findings, losses, accepted) {
            (0, _, 0) => session.output.text("everything is as it was written"),
            (0, _, _) => session.output.text(format_args!(
                "everything is as it was written, but for what was accepted as lost: {accepted}"
            )),
            (_, 0, _) => Err(Failure::Negative(format!(
                "findings in {dir}: {findings}, and everything can be read"
            ))),
            _ => Err(Failure::Negative(format!(
                "findings in {dir}: {findings}; restore from a backup, or accept the loss with `logmill inspect repair {dir} --accept-loss`"
            ))),
        }
    }
}

impl Report {
    fn of(FileReport { path, entries, bytes, findings }: FileReport, names: &Names) -> Self {
        let found = |Finding { path, position, bytes, what, cost, hole }: Finding| Found {
            file: path,
            position,
            bytes,
            what,
            accepted: cost == Cost::Accepted,
            may_hide_partitions: hole.as_ref().is_some_and(|hole| hole.may_hide_partitions),
            lost: hole.map(|hole| names.lost(&hole)).unwrap_or_default(),
        };
        Self { file: path, entries, bytes, findings: findings.into_iter().map(found).collect() }
    }

    fn show(&self, session: &mut Session) -> Result<(), Failure> {
        let Self { file, entries, bytes, findings } = self;
        session.output.text(format_args!("{file}: {entries} entries, {}", shown_bytes(*bytes)))?;
        for Found { file, position, what, accepted, lost, may_hide_partitions, .. } in findings {
            let accepted = if *accepted { "accepted: " } else { "" };
            session.output.text(format_args!("  {accepted}{file} at byte {position}: {what}"))?;
            lost.iter().try_for_each(|lost| session.output.text(shown(lost)))?;
            if *may_hide_partitions && accepted.is_empty() {
                let hidden = "  partitions that are nowhere else can't be named";
                session.output.text(hidden)?;
            }
        }
        Ok(())
    }
}
