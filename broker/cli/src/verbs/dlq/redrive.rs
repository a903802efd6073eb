//! `logmill dlq redrive`.
//!
//! Letters go to the broker some hundred at a time, in the order of their source. A lane takes as many
//! back as it has room for; the rest of its letters waits, and those of other lanes go on. A letter that
//! was redriven is so for good: a command that is killed is run again, and goes on where it was.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use indicatif::ProgressBar;
use logmill_client::{Admin, DeploymentStatus, LetterSummary, LettersLeft, LettersMarked, Offset};
use logmill_model::{DeploymentName, limits::LETTERS_MAX};
use serde::Serialize;
use tokio::time::sleep;

use super::again::{Rate, until_done};
use super::selection::{Filter, Selection, Window};
use crate::quantity::parse_rate;
use crate::{Failure, Output, Session, terminal};

/// How long to wait for room.
const ROOM_WAIT: Duration = Duration::from_millis(100);
/// How long to wait for a lane that has the record itself.
const BUSY_WAIT: Duration = Duration::from_millis(500);

/// Have dead letters handled again, by the deployment that gave them up
///
/// It sees each record as it was, at its first attempt, before later records of its key that it has not
/// handled. Letters that are there when this begins are redriven, each once; what has no room waits.
/// Killed, it goes on when it is run again. A paused deployment handles them when it is resumed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill dlq redrive triage\n  \
    logmill dlq redrive triage --reason rejected --dry-run\n  \
    logmill dlq redrive triage --rate 100/s")]
pub(crate) struct Args {
    /// The deployment
    name: DeploymentName,
    #[command(flatten)]
    filter: Filter,
    /// Letters a second at most; as fast as it goes without it
    #[arg(long, value_name = "N/s", value_parser = parse_rate)]
    rate: Option<u64>,
    /// Say what would be redriven, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    deployment: DeploymentName,
    /// In a dry run: how many would be.
    redriven: u64,
    /// How many others had redriven or purged before.
    not_open: u64,
    /// How many can't be redriven.
    skipped: u64,
    /// How many are left for another time.
    left: u64,
    /// Why letters were skipped or left, and how many for each reason.
    reasons: BTreeMap<String, u64>,
    dry_run: bool,
}

/// What is being done.
struct Work {
    admin: Admin,
    rate: Rate,
    report: Report,
    progress: ProgressBar,
    /// Letters that their lanes have themselves now, by partition.
    busy: BTreeMap<u32, Vec<LetterSummary>>,
    /// Whether somebody was told that there is something to wait for.
    has_told: bool,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let Self { name, filter, rate, dry_run } = self;
        let (admin, is_named) = (session.admin().await?, filter.names_offsets());
        let mut selection = Selection::of(admin.clone(), &name, filter).await?;
        let rate = Rate::new(rate.filter(|_| !dry_run));
        let work = Work::new(admin, rate, Report::new(name, dry_run));
        let report = work.redrive_all(&mut selection).await?;
        session.output.json(&report)?;
        show(&mut session.output, &report, selection.topic())?;
        report.is_done(is_named)
    }
}

/// Redrives the letters at these offsets of a partition of the dead-letter topic, each of which must
/// be one; tells how many it was.
pub(crate) async fn redrive(
    admin: Admin,
    name: DeploymentName,
    partition: u32,
    offsets: Vec<Offset>,
) -> Result<u64, Failure> {
    let filter = Filter::at(partition, &offsets);
    let mut selection = Selection::of(admin.clone(), &name, filter).await?;
    let work = Work::new(admin, Rate::new(None), Report::new(name, false));
    let report = work.redrive_all(&mut selection).await?;
    report.is_done(true)?;
    Ok(report.redriven)
}

impl Work {
    fn new(admin: Admin, rate: Rate, report: Report) -> Self {
        let progress = terminal::counter("letters redriven");
        Self { admin, rate, report, progress, busy: BTreeMap::new(), has_told: false }
    }

    /// Redrives what is selected, unless the deployment stands still while there is no room.
    async fn redrive_all(mut self, selection: &mut Selection) -> Result<Report, Failure> {
        while self.report.left == 0
            && let Some(window) = selection.next().await?
        {
            self.redrive(window).await?;
        }
        self.wait_for_busy().await?;
        self.progress.finish_and_clear();
        let mut report = self.report;
        report.not_open += selection.not_open;
        Ok(report)
    }

    /// Redrives all of a window, unless the deployment stands still while there is no room.
    async fn redrive(&mut self, window: Window) -> Result<(), Failure> {
        let Window { partition, mut letters } = window;
        loop {
            let before = letters.len();
            letters = self.turn(partition, letters).await?;
            if letters.is_empty() {
                return Ok(());
            }
            if letters.len() == before && self.stands_still().await? {
                self.report.left += letters.len() as u64;
                return Ok(());
            }
            sleep(ROOM_WAIT).await;
            self.rate.begin_anew();
        }
    }

    /// Asks for each letter once, but for those of lanes that turn out to be full: these come back, in
    /// order.
    async fn turn(
        &mut self,
        partition: u32,
        letters: Vec<LetterSummary>,
    ) -> Result<Vec<LetterSummary>, Failure> {
        let (mut waiting, mut full) = (Vec::new(), HashSet::<(String, u32)>::new());
        let lane = |it: &LetterSummary| (it.source.topic.clone(), it.source.partition);
        let mut letters = letters.into_iter().peekable();
        while letters.peek().is_some() {
            let (max, mut piece) = (self.rate.due(LETTERS_MAX).await, Vec::new());
            while piece.len() < max
                && let Some(letter) = letters.next()
            {
                let to = if full.contains(&lane(&letter)) { &mut waiting } else { &mut piece };
                to.push(letter);
            }
            let marked = self.ask(partition, &piece).await?;
            let (no_room, busy) = (offsets(&marked.no_room), offsets(&marked.busy));
            for letter in piece {
                if no_room.contains(&letter.offset) {
                    full.insert(lane(&letter));
                    waiting.push(letter);
                } else if busy.contains(&letter.offset) {
                    self.busy.entry(partition).or_default().push(letter);
                }
            }
        }
        Ok(waiting)
    }

    async fn ask(
        &mut self,
        partition: u32,
        piece: &[LetterSummary],
    ) -> Result<LettersMarked, Failure> {
        if piece.is_empty() {
            return Ok(LettersMarked::default());
        }
        let (admin, name) = (&self.admin, &self.report.deployment);
        let offsets: Vec<Offset> = piece.iter().map(|letter| letter.offset).collect();
        let marked = until_done(async || {
            admin.redrive(name.clone(), partition, offsets.clone(), self.report.dry_run).await
        })
        .await?;
        self.rate.count(marked.marked);
        self.report.add(&marked);
        self.progress.set_position(self.report.redriven);
        Ok(marked)
    }

    /// Whether nothing is handled, so that no waiting helps.
    async fn stands_still(&mut self) -> Result<bool, Failure> {
        let deployment = self.admin.deployment(self.report.deployment.clone()).await?;
        let state = deployment.state;
        if matches!(state, DeploymentStatus::Paused | DeploymentStatus::Failed) {
            let name = &self.report.deployment;
            let why = format!(
                "{name} is {}, and its lanes take no more back until it goes on",
                state.as_str()
            );
            self.report.reasons.insert(why, 0);
            return Ok(true);
        }
        if !self.has_told {
            self.has_told = true;
            terminal::note("some letters wait for room, or for their records to be handled");
        }
        Ok(false)
    }

    /// Asks for those that their lanes had themselves until they have them no more.
    async fn wait_for_busy(&mut self) -> Result<(), Failure> {
        while let Some((partition, letters)) = self.busy.pop_first() {
            let before = letters.len();
            let waiting = self.turn(partition, letters).await?;
            let busy = self.busy.entry(partition).or_default();
            busy.extend(waiting);
            busy.sort_by_key(|it| (it.source.offset, it.offset));
            let left = busy.len();
            if left == 0 {
                self.busy.remove(&partition);
            } else if left == before {
                if self.stands_still().await? {
                    let left: usize = self.busy.values().map(Vec::len).sum();
                    self.report.left += left as u64;
                    return Ok(());
                }
                sleep(BUSY_WAIT).await;
            }
        }
        Ok(())
    }
}

fn offsets(left: &[LettersLeft]) -> HashSet<Offset> {
    left.iter().flat_map(|it| it.offsets.iter().copied()).collect()
}

impl Report {
    fn new(deployment: DeploymentName, dry_run: bool) -> Self {
        let (redriven, not_open, skipped, left) = (0, 0, 0, 0);
        let reasons = BTreeMap::new();
        Self { deployment, redriven, not_open, skipped, left, reasons, dry_run }
    }

    fn add(&mut self, marked: &LettersMarked) {
        self.redriven += marked.marked;
        self.not_open += marked.not_open;
        for LettersLeft { why, offsets } in &marked.skipped {
            self.skipped += offsets.len() as u64;
            *self.reasons.entry(why.clone()).or_default() += offsets.len() as u64;
        }
    }

    /// Whether it did what was asked: all there are, or those that were named.
    fn is_done(&self, is_named: bool) -> Result<(), Failure> {
        let why = || self.reasons.keys().map(String::as_str).collect::<Vec<_>>().join("; ");
        if self.left > 0 {
            let (left, why) = (self.left, why());
            return Err(anyhow::anyhow!("letters left: {left}: {why}; run this again then").into());
        }
        if is_named && self.skipped > 0 {
            let (skipped, why) = (self.skipped, why());
            return Err(anyhow::anyhow!("letters not redriven: {skipped}: {why}").into());
        }
        Ok(())
    }
}

fn show(
    output: &mut Output,
    report: &Report,
    topic: &impl std::fmt::Display,
) -> Result<(), Failure> {
    let Report { redriven, not_open, skipped, deployment, .. } = report;
    let what = if report.dry_run { "would be redriven" } else { "redriven" };
    output.text(format_args!("{what} to {deployment}: {redriven} of {topic}"))?;
    if *not_open > 0 {
        output.text(format_args!("  {not_open} were redriven or purged before"))?;
    }
    if *skipped > 0 {
        for (why, count) in report.reasons.iter().filter(|(_, count)| **count > 0) {
            output.text(format_args!("  {count} skipped: {why}"))?;
        }
    }
    Ok(())
}
