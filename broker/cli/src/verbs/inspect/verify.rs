//! `logmill inspect verify`: reads every byte and tells what is not as it was written.

use std::path::PathBuf;

use logmill_log::{Cost, FileReport, Finding};
use logmill_model::{CATALOG_PRICE, CorruptOffsets, PartitionId};
use serde::Serialize;

use super::{Names, failed, open};
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
    lost: Vec<CorruptOffsets>,
    may_hide_partitions: bool,
}

impl Args {
    pub(super) fn run(self, session: &mut Session) -> Result<(), Failure> {
        let storage = open(&self.dir)?;
        let names = Names::read(&storage)?;
        let mut reports = Vec::new();
        let findings =
            logmill_log::verify(&storage, &names.known, &mut |report| reports.push(report));
        let findings = findings.map_err(failed)?;
        let has_journal = reports.iter().any(|it| it.path.ends_with(".journal"));
        let all = reports.iter().flat_map(|it| &it.findings);
        let found = all.fold(Sum { findings, ..Sum::default() }, Sum::with);
        for report in reports {
            let report = Report::of(report, &names);
            session.output.json(&report)?;
            report.show(session)?;
        }
        let dir = self.dir.display().to_string();
        if found.findings > 0 {
            return Err(Failure::Negative(found.advice(&dir)));
        }
        if !has_journal {
            session.output.text(format_args!(
                "there is no journal file in {dir}: a broker that starts on it begins a new log"
            ))?;
        }
        session.output.text(found.summary())
    }
}

/// What was found in all.
#[derive(Default)]
struct Sum {
    /// Those that nobody has accepted.
    findings: u64,
    losses: u64,
    accepted: u64,
    torn: u64,
    /// Those for which no broker starts.
    refused: u64,
    /// Whether some of the catalog is lost.
    is_of_catalog: bool,
}

impl Sum {
    fn with(mut self, finding: &Finding) -> Self {
        let lost = finding.hole.iter().flat_map(|hole| &hole.lost);
        let is_of_catalog = lost.into_iter().any(|it| it.partition == PartitionId::CATALOG);
        match finding.cost {
            Cost::Loss => {
                self.losses += 1;
                self.is_of_catalog |= is_of_catalog;
            }
            Cost::Accepted => self.accepted += 1,
            Cost::Torn => self.torn += 1,
            Cost::Refused => self.refused += 1,
            Cost::Nothing => {}
        }
        self
    }

    /// Where there is nothing to be done.
    fn summary(&self) -> String {
        let but =
            [(self.accepted, "what was accepted as lost"), (self.torn, "an end that is torn")];
        let but = but.iter().filter(|(count, _)| *count > 0);
        let but: String = but.map(|(count, what)| format!(", but for {what}: {count}")).collect();
        format!("everything is as it was written{but}")
    }

    /// What can be done about it.
    fn advice(&self, dir: &str) -> String {
        let repair = format!("`logmill inspect repair {dir} --accept-loss`");
        let what = match self {
            Self { refused: 1.., .. } => {
                "no broker starts on it, and none would after a repair; do what the finding says, or restore from a backup".to_owned()
            }
            Self { losses: 0, .. } => return format!("findings in {dir}: {}, and everything can be read", self.findings),
            Self { is_of_catalog: true, .. } => format!(
                "restore from a backup, or bring the missing file back; accepting the loss with {repair} {CATALOG_PRICE}"
            ),
            _ => format!("restore from a backup, or accept the loss with {repair}"),
        };
        format!("findings in {dir}: {}; {what}", self.findings)
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
        let bytes = shown_bytes(*bytes);
        match [".journal", ".segment"].iter().any(|suffix| file.ends_with(suffix)) {
            true => session.output.text(format_args!("{file}: {entries} entries, {bytes}"))?,
            false => session.output.text(format_args!("{file}: {bytes}"))?,
        }
        for Found { file, position, what, accepted, lost, may_hide_partitions, .. } in findings {
            let accepted = if *accepted { "accepted: " } else { "" };
            session.output.text(format_args!("  {accepted}{file} at byte {position}: {what}"))?;
            lost.iter().try_for_each(|lost| session.output.text(format_args!("  {lost}")))?;
            if *may_hide_partitions && accepted.is_empty() {
                let hidden = "  partitions that are nowhere else can't be named";
                session.output.text(hidden)?;
            }
        }
        Ok(())
    }
}
