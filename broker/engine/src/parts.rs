//! What lanes, producers and subscribers share: the log, the views, the door and the workers.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::JoinHandle;

use logmill_log::{Cleaner, Log, Opened, Recovered, StoredBatch};
use logmill_model::internal::{CatalogRecord, CursorsRecord, SegmentsRecord};
use logmill_model::{
    Append, Commit, CommitClass, Committed, Offset, Outcome, PartitionId, Precondition, Record,
    RecordBatch, Refusal, SpaceLevel, Timestamp,
};
use tokio::sync::watch;

use crate::Error;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::letters::Marking;
use crate::limits::{CATALOG_TRIES_MAX, LETTERS_TRIES_MAX, ORPHANS_MAX};
use crate::pool::Pool;
use crate::replay::Replayed;
use crate::sequencer::Sequencer;
use crate::suspects::Suspects;
use crate::views::Views;

/// Handles on the parts; cheap to share, owns nothing.
pub(crate) struct Parts {
    pub(crate) log: Log,
    pub(crate) views: Arc<Views>,
    pub(crate) sequencer: Sequencer,
    pub(crate) pool: Pool,
    pub(crate) clock: Clock,
    /// Who stands still, since internal records are lost.
    pub(crate) suspects: Suspects,
    /// Told when a policy has changed.
    pub(crate) policies: watch::Sender<()>,
    /// How much room the disk has, as the journal last told it.
    space: watch::Receiver<SpaceLevel>,
    /// One catalog change at a time: they are conditional on one another.
    catalog_changes: tokio::sync::Mutex<()>,
}

/// What a change of the catalog consists of.
#[derive(Debug, Default)]
pub(crate) struct CatalogChange {
    pub(crate) catalog: Vec<CatalogRecord>,
    /// Records of `_cursors` that belong to it.
    pub(crate) cursors: Vec<CursorsRecord>,
    /// Records of `_segments` that belong to it.
    pub(crate) segments: Vec<SegmentsRecord>,
    /// Marks of dead letters that belong to it.
    pub(crate) letters: Option<Marking>,
    pub(crate) preconditions: Vec<Precondition>,
    /// [`CommitClass::Produce`] for what adds something. What deletes, and a pause, is
    /// [`CommitClass::Housekeeping`]: an operator must be able to win space, and to stop what takes
    /// it, however full the disk is.
    pub(crate) class: CommitClass,
}

/// The sequencer's thread, which ends with how the journal was closed.
pub(crate) type SequencerThread = JoinHandle<Result<(), logmill_log::Error>>;

/// What was started, and what is for others to start.
pub(crate) struct Started {
    pub(crate) parts: Arc<Parts>,
    pub(crate) recovered: Recovered,
    pub(crate) cleaner: Cleaner,
    pub(crate) thread: SequencerThread,
}

impl Parts {
    /// Starts the sequencer and the workers over a log that was just opened.
    pub(crate) fn start(
        opened: Opened,
        replayed: Replayed,
        clock: Clock,
    ) -> std::io::Result<Started> {
        let Opened { log, journal, cleaner, recovered } = opened;
        let Replayed { mut judge, catalog, cursors, letters, deleted, suspects, .. } = replayed;
        for partition in deleted {
            log.forget(partition);
        }
        let checkpoint = judge.producers().checkpoint();
        let durable = (checkpoint, recovered.last_time);
        let views = Views::new(log.clone(), catalog, (cursors, letters), durable);
        let views = Arc::new(views);
        let (level, space) = watch::channel(SpaceLevel::default());
        journal.watch_space(Box::new(move |now| {
            level.send_replace(now);
        }));
        let (sequencer, thread) =
            Sequencer::start(judge, journal, Arc::clone(&views), recovered.epoch, clock.clone())?;
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let pool = Pool::start(cores)?;
        let parts = Arc::new(Self {
            log,
            views,
            sequencer,
            pool,
            clock,
            suspects,
            policies: watch::Sender::new(()),
            space,
            catalog_changes: tokio::sync::Mutex::default(),
        });
        Ok(Started { parts, recovered, cleaner, thread })
    }

    /// How much room the disk has.
    pub(crate) fn space_level(&self) -> SpaceLevel {
        *self.space.borrow()
    }

    /// What the time of the next entry would be now: what is judged by entry time is judged by this.
    pub(crate) fn entry_time(&self) -> Timestamp {
        self.clock.now().max(self.views.time())
    }

    /// Whether a commit of this class is taken in now.
    pub(crate) fn check_space(&self, class: CommitClass) -> Result<(), Error> {
        if self.space_level().admits(class) { Ok(()) } else { Err(Error::DiskFull) }
    }

    /// Waits until a commit of this class is taken in.
    pub(crate) async fn wait_for_space(&self, class: CommitClass) {
        let mut space = self.space.clone();
        // An error is a journal that has ended: there will be no space.
        if space.wait_for(|level| level.admits(class)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Reads batches from `from` on, from memory where they are there.
    pub(crate) async fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<StoredBatch>, Error> {
        if let Some(batches) = self.log.read_tail(partition, from, bytes_max) {
            return Ok(batches);
        }
        let log = self.log.clone();
        tokio::task::spawn_blocking(move || log.read(partition, from, bytes_max))
            .await
            .map_err(|_| Error::ShuttingDown)?
            .map_err(|error| self.views.catalog().unread(error))
    }

    /// Commits and tells refusal and unknown outcome as errors.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        match self.sequencer.commit(commit).await? {
            Outcome::Committed(committed) => Ok(committed),
            Outcome::Refused(refusal) => Err(self.views.named(refusal)),
            Outcome::Unknown => Err(Error::Unknown),
        }
    }

    /// Changes the catalog: `plan` sees it as it is and says what to change, and the change holds
    /// only if nothing has changed in between; else `plan` is asked again.
    pub(crate) async fn change_catalog<T>(
        &self,
        mut plan: impl FnMut(&Catalog) -> Result<(CatalogChange, T), Error>,
    ) -> Result<T, Error> {
        if let Some(why) = self.suspects.everything() {
            return Err(Error::StandsStill(why.to_owned()));
        }
        let _turn = self.catalog_changes.lock().await;
        self.clear_orphans().await?;
        let mut refused = None;
        for _ in 0..CATALOG_TRIES_MAX {
            let catalog = self.views.catalog();
            let (change, planned) = plan(&catalog)?;
            if change.catalog.is_empty() && change.cursors.is_empty() {
                return Ok(planned);
            }
            match self.commit(change.into_commit(catalog.end())?).await {
                Ok(_) => return Ok(planned),
                Err(Error::Refused(
                    refusal @ Refusal::EndMoved { partition: PartitionId::CATALOG, .. },
                )) => refused = Some(refusal),
                Err(error) => return Err(error),
            }
        }
        Err(refused.map_or(Error::ShuttingDown, Error::Refused))
    }
}

impl Parts {
    /// Deletes the holes that lanes have left behind which have ended. A lane's cursor may come back,
    /// and must not find them; what was redriven and not handled is an open dead letter again.
    async fn clear_orphans(&self) -> Result<(), Error> {
        let mut tries = 0;
        loop {
            let orphans = self.views.orphans(ORPHANS_MAX);
            if orphans.is_empty() {
                return Ok(());
            }
            let letters = orphans.iter().filter_map(|(_, hole)| hole.place);
            let letters = self.views.letters().reopen(letters)?;
            let cursors = orphans.into_iter().map(|(record, _)| record).collect();
            let class = CommitClass::Housekeeping;
            let change = CatalogChange { cursors, letters, class, ..CatalogChange::default() };
            match self.commit(change.into_commit(Offset::ZERO)?).await {
                Err(error) if error.is_overtaken() && tries < LETTERS_TRIES_MAX => tries += 1,
                done => drop(done?),
            }
        }
    }
}

impl CatalogChange {
    fn into_commit(self, end: Offset) -> Result<Commit, Error> {
        let Self { preconditions, class, .. } = &self;
        let mut commit =
            Commit { appends: Vec::new(), preconditions: preconditions.clone(), class: *class };
        if !self.catalog.is_empty() {
            let records: Vec<Record> = self.catalog.iter().map(CatalogRecord::encode).collect();
            let append = Append::new(PartitionId::CATALOG, RecordBatch::of(&records)?);
            commit.appends.push(append);
            commit
                .preconditions
                .push(Precondition::EndOffset { partition: PartitionId::CATALOG, end });
        }
        if !self.cursors.is_empty() {
            let records: Vec<Record> = self.cursors.iter().map(CursorsRecord::encode).collect();
            commit.appends.push(Append::new(PartitionId::CURSORS, RecordBatch::of(&records)?));
        }
        if !self.segments.is_empty() {
            let records: Vec<Record> = self.segments.iter().map(SegmentsRecord::encode).collect();
            commit.appends.push(Append::new(PartitionId::SEGMENTS, RecordBatch::of(&records)?));
        }
        if let Some(letters) = self.letters {
            commit.appends.extend(letters.appends);
            commit.preconditions.push(letters.precondition);
        }
        Ok(commit)
    }
}
