//! The housekeeper: a task that wins back the space of what nobody needs, a job at a time.
//!
//! The log plans the jobs and does their work; what makes them count is a commit to `_segments`,
//! like any other change of durable state. A job that is done is so in three steps: its segment is
//! durable, its records are committed, readers are sent to the segment. Stopped before the second,
//! it was for nothing; before the third, the next start does it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use logmill_log::{Cleaned, Cleaner, Job, Policies, Report, Settings, Throttle};
use logmill_model::internal::SegmentsRecord;
use logmill_model::{
    Append, Commit, CommitClass, Outcome, PartitionId, Record, RecordBatch, SpaceLevel,
};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::Error;
use crate::limits::{CLEAN_AGAIN_EVERY, CLEAN_EVERY, CLEAN_FAILED_WAIT};
use crate::parts::Parts;

/// What the housekeeper has done since the start, and what there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CleanerStats {
    /// Jobs that were done, looks at compacted topics among them.
    pub jobs: u64,
    /// Jobs that failed, or whose records were refused.
    pub failed_jobs: u64,
    /// Bytes that were read and written.
    pub bytes: u64,
    /// Files that were dropped or rewritten.
    pub files_removed: u64,
    /// Their bytes, less those of the segments in their place.
    pub bytes_won: u64,
    /// Segments that were made.
    pub segments: u64,
    /// Bytes that could be won back, when it was last looked.
    pub backlog_bytes: u64,
}

/// A handle on the task.
#[derive(Clone)]
pub(crate) struct Housekeeper {
    parts: Arc<Parts>,
    throttle: Arc<Throttle>,
    stats: Arc<watch::Sender<CleanerStats>>,
    bytes_per_second: u64,
    segment_bytes: u64,
}

/// What became of a turn.
enum Turn {
    /// A job was done; there may be more.
    Done,
    /// There is nothing to do.
    Idle,
    /// A job could not be done now.
    Failed,
    /// The broker stops, or its journal has.
    Ended,
}

impl Housekeeper {
    pub(crate) fn new(parts: Arc<Parts>, settings: &Settings) -> Self {
        let bytes_per_second = settings.cleaner_bytes_per_second;
        Self {
            parts,
            throttle: Arc::new(Throttle::new(bytes_per_second)),
            stats: Arc::new(watch::channel(CleanerStats::default()).0),
            bytes_per_second,
            segment_bytes: settings.segment_bytes.max(1),
        }
    }

    /// Follows what it does.
    pub(crate) fn watch(&self) -> watch::Receiver<CleanerStats> {
        self.stats.subscribe()
    }

    /// Ends the job under way, if there is one. The task must be told to stop as well.
    pub(crate) fn stop(&self) {
        self.throttle.stop();
    }

    /// Works until `stop`.
    pub(crate) fn start(
        &self,
        cleaner: Cleaner,
        mut stop: watch::Receiver<bool>,
    ) -> JoinHandle<()> {
        let keeper = self.clone();
        tokio::spawn(async move {
            let mut hands = Some(cleaner);
            let mut policies = keeper.parts.policies.subscribe();
            while let Some(cleaner) = hands.take() {
                policies.mark_unchanged();
                let (turn, cleaner) = keeper.turn(cleaner).await;
                let wait = match turn {
                    Turn::Done => Duration::ZERO,
                    Turn::Idle => CLEAN_EVERY,
                    Turn::Failed => CLEAN_FAILED_WAIT,
                    Turn::Ended => return,
                };
                tokio::select! {
                    biased;
                    _ = stop.wait_for(|stop| *stop) => return,
                    // An error: it is its own engine that has them.
                    _ = policies.changed(), if matches!(turn, Turn::Idle) => {}
                    () = keeper.wait(wait, cleaner.as_ref(), matches!(turn, Turn::Idle)) => {}
                }
                hands = cleaner;
            }
        })
    }

    /// Waits for the next turn; an idle one is waited for until something has happened, or until it
    /// is time to see whether time alone has left something to do.
    async fn wait(&self, wait: Duration, cleaner: Option<&Cleaner>, idle: bool) {
        let begin = Instant::now();
        loop {
            tokio::time::sleep(wait).await;
            let has_news = cleaner.is_none_or(Cleaner::has_news);
            if !idle || has_news || begin.elapsed() >= CLEAN_AGAIN_EVERY {
                return;
            }
        }
    }

    /// Plans and does one job. The cleaner comes back unless its work has panicked.
    async fn turn(&self, cleaner: Cleaner) -> (Turn, Option<Cleaner>) {
        if cleaner.newest() > self.parts.views.taken_in()
            && let Err(turn) = self.take_in().await
        {
            return (turn, Some(cleaner));
        }
        let parts = Arc::clone(&self.parts);
        let planned = spawn_blocking(move || plan(&parts, cleaner)).await;
        let Ok((mut cleaner, job)) = planned else { return (Turn::Ended, None) };
        self.stats.send_modify(|stats| stats.backlog_bytes = cleaner.backlog_bytes());
        self.throttle.set_pace(self.pace(cleaner.backlog_bytes()));
        let Some(job) = job else { return (Turn::Idle, Some(cleaner)) };
        let begin = Instant::now();
        let throttle = Arc::clone(&self.throttle);
        let done = spawn_blocking(move || job.run(&throttle)).await;
        let turn = match done {
            Ok(Ok(cleaned)) => self.commit(&mut cleaner, cleaned, begin).await,
            Ok(Err(logmill_log::Error::Interrupted)) | Err(_) => Turn::Ended,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a cleaning has failed; nothing is lost by that");
                cleaner.failed(&error);
                self.stats.send_modify(|stats| stats.failed_jobs += 1);
                Turn::Failed
            }
        };
        (turn, Some(cleaner))
    }

    /// Has what sealed files prove of producers written down, so that they may go.
    async fn take_in(&self) -> Result<(), Turn> {
        match self.parts.sequencer.checkpoint().await {
            Ok(Outcome::Committed(_)) => Ok(()),
            Ok(Outcome::Refused(refusal)) => {
                tracing::warn!(%refusal, "no checkpoint of the producers");
                Err(Turn::Failed)
            }
            // The broker stops, or its journal has.
            Ok(Outcome::Unknown) | Err(_) => Err(Turn::Ended),
        }
    }

    /// The further behind, the faster: so the backlog is bounded, whatever is produced. On a full
    /// disk nobody is there to be spared.
    fn pace(&self, backlog_bytes: u64) -> u64 {
        if self.parts.space_level() != SpaceLevel::Normal {
            return u64::MAX;
        }
        let segments_behind = backlog_bytes / self.segment_bytes;
        self.bytes_per_second.saturating_mul(1 + segments_behind)
    }

    async fn commit(&self, cleaner: &mut Cleaner, cleaned: Cleaned, begin: Instant) -> Turn {
        let committed = match commit_of(cleaned.records()) {
            Ok(None) => Ok(()),
            Ok(Some(commit)) => self.parts.commit(commit).await.map(drop),
            Err(error) => Err(error),
        };
        match committed {
            Ok(()) => {
                let report = cleaned.report();
                cleaner.install(cleaned);
                self.count(report, begin);
                Turn::Done
            }
            // What has become of it is for the next start to find out.
            Err(Error::Unknown) => Turn::Ended,
            Err(Error::ShuttingDown) => {
                cleaner.discard(cleaned);
                Turn::Ended
            }
            Err(error) => {
                tracing::warn!(%error, "what was cleaned can't be committed");
                cleaner.discard(cleaned);
                self.stats.send_modify(|stats| stats.failed_jobs += 1);
                Turn::Failed
            }
        }
    }

    fn count(&self, report: Report, begin: Instant) {
        let Report { files, bytes, segment_bytes } = report;
        let won = bytes.saturating_sub(segment_bytes);
        self.stats.send_modify(|stats| {
            stats.jobs += 1;
            stats.bytes = self.throttle.bytes();
            stats.files_removed += files;
            stats.bytes_won += won;
            stats.segments += u64::from(segment_bytes > 0);
        });
        if files > 0 {
            let ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(files, bytes_won = won, segment_bytes, ms, "cleaned the log");
        }
    }
}

fn plan(parts: &Parts, mut cleaner: Cleaner) -> (Cleaner, Option<Job>) {
    let catalog = parts.views.catalog();
    let is_compacted = |partition: PartitionId| catalog.is_compacted(partition.topic);
    let job = cleaner.plan(&Policies {
        now: parts.clock.now(),
        // A snapshot of the views that the cleaner has come behind is not believed; what later
        // entries prove of producers is nowhere else.
        views_csn: parts.views.taken_in(),
        is_compacted: &is_compacted,
    });
    (cleaner, job)
}

/// The commit that makes a job count; None if it has nothing to say.
fn commit_of(records: &[SegmentsRecord]) -> Result<Option<Commit>, Error> {
    if records.is_empty() {
        return Ok(None);
    }
    let records: Vec<Record> = records.iter().map(SegmentsRecord::encode).collect();
    let append = Append::new(PartitionId::SEGMENTS, RecordBatch::of(&records)?);
    let class = CommitClass::Housekeeping;
    Ok(Some(Commit { appends: vec![append], class, ..Commit::default() }))
}
