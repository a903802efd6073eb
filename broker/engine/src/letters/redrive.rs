//! Having dead letters handled again, by the deployment that gave them up.
//!
//! A letter is redriven in one commit: it is marked, and its record becomes a hole of the lane that it
//! came from. A lane at work does that itself, between two runs; for one that is not, it is done here,
//! while nobody can start it.

use std::collections::BTreeMap;

use logmill_model::{
    BatchBuilder, DeadLetter, DeploymentName, LaneId, LetterStatus, LettersLeft, LettersMarked,
    Offset, PartitionId,
};

use super::find::{Dlq, Found, Letter, wanted};
use super::purge::NO_LETTER;
use crate::lane::parked::{Parked, ParkedMax};
use crate::lane::redrive::{Candidate, Fate, Plan, Redrive};
use crate::limits::LETTERS_TRIES_MAX;
use crate::seed::key_hash;
use crate::{Engine, Error};

/// What is kept of a letter that was read.
struct Kept {
    death: DeadLetter,
    key: u64,
    bytes: u32,
}

impl From<Letter> for Kept {
    fn from(letter: Letter) -> Self {
        let Letter { record, death, .. } = letter;
        let bytes = u32::try_from(BatchBuilder::encoded_bytes(&record)).unwrap_or(u32::MAX);
        let key = key_hash(record.key.as_deref(), death.source.offset);
        Self { death, key, bytes }
    }
}

impl Engine {
    /// Has the open ones of these dead letters handled again: those whose lane has room for them. In
    /// a `dry_run` nothing changes, and it is told which would be.
    ///
    /// # Errors
    /// [`Error::UnknownDeployment`], [`Error::LettersRefused`], [`Error::LettersFull`],
    /// [`Error::UnknownPartition`], [`Error::StandsStill`], [`Error::DiskFull`].
    pub async fn redrive(
        &self,
        name: &DeploymentName,
        partition: u32,
        offsets: &[Offset],
        dry_run: bool,
    ) -> Result<LettersMarked, Error> {
        let wanted = wanted(offsets)?;
        let dlq = self.dlq_to_change(name, partition)?;
        let found = dlq.find(self.parts(), wanted, Kept::from).await?;
        let (mut marked, mut by_lane) = (LettersMarked::default(), BTreeMap::<_, Vec<_>>::new());
        for (offset, found) in found {
            match self.candidate(&dlq, offset, found) {
                Ok((lane, candidate)) => by_lane.entry(lane).or_default().push(candidate),
                Err(Left::NotOpen) => marked.not_open += 1,
                Err(Left::For(why)) => LettersLeft::add(&mut marked.skipped, &why, offset),
            }
        }
        for (lane, mut candidates) in by_lane {
            if dry_run {
                marked.marked += candidates.len() as u64;
                continue;
            }
            // Where there is no room for all, the first ones are first.
            candidates.sort_by_key(|it| (it.source, it.place.offset));
            let fates = self.redrive_lane(&dlq, lane, &candidates).await?;
            for (candidate, fate) in candidates.iter().zip(fates) {
                count(&mut marked, candidate.place.offset, fate);
            }
        }
        Ok(marked)
    }

    /// What a letter's lane has to know of it.
    fn candidate(
        &self,
        dlq: &Dlq,
        offset: Offset,
        found: Found<Kept>,
    ) -> Result<(LaneId, Candidate), Left> {
        let place = dlq.place(offset);
        let Kept { death, key, bytes } = match found {
            Found::Letter(letter) => letter,
            Found::Unreadable(why) => return Err(Left::For(why)),
            Found::Other => return Err(Left::For(NO_LETTER.to_owned())),
        };
        if self.parts().views.letters().status(place) != LetterStatus::Open {
            return Err(Left::NotOpen);
        }
        let source = death.source.offset;
        let lane = self.lane_of(dlq, &death).map_err(Left::For)?;
        Ok((lane, Candidate { source, place, key, bytes }))
    }

    /// The lane that a letter's record came from, or why it takes nothing back.
    fn lane_of(&self, dlq: &Dlq, death: &DeadLetter) -> Result<LaneId, String> {
        let (parts, source) = (self.parts(), &death.source);
        let catalog = parts.views.catalog();
        let topic = source.topic.parse().ok().and_then(|name| catalog.topic(&name).cloned());
        let Some(topic) = topic else {
            return Err(format!("its source, topic {}, does not exist any more", source.topic));
        };
        let partition = PartitionId::new(topic.id, source.partition);
        let lane = LaneId { deployment: dlq.deployment.id, source: partition };
        let Some(cursor) = parts.views.cursor(lane) else {
            let (topic, name) = (&source.topic, &dlq.name);
            return Err(format!("topic {topic} is no source of {name} any more"));
        };
        if let Some(why) = parts.suspects.lane(lane) {
            return Err(why.to_owned());
        }
        if parts.lost(lane, &cursor).is_some() {
            let (topic, partition) = (&source.topic, source.partition);
            return Err(format!(
                "the lane on {topic}/{partition} is lost; `logmill module resume {} --skip-lost` lets it go on",
                dlq.name
            ));
        }
        if source.offset >= parts.log.end_offset(partition) {
            let (topic, partition) = (&source.topic, source.partition);
            return Err(format!("it is of another {topic}/{partition}, which was deleted"));
        }
        Ok(lane)
    }

    async fn redrive_lane(
        &self,
        dlq: &Dlq,
        lane: LaneId,
        candidates: &[Candidate],
    ) -> Result<Vec<Fate>, Error> {
        for _ in 0..LETTERS_TRIES_MAX {
            match self.try_redrive_lane(dlq, lane, candidates).await {
                Ok(Some(fates)) => return Ok(fates),
                // It was stopped with the request.
                Ok(None) => {}
                Err(error) if error.is_overtaken() => {}
                Err(error) => return Err(error),
            }
        }
        let stands_still = || Fate::Busy("its lane does not answer");
        Ok(candidates.iter().map(|_| stands_still()).collect())
    }

    async fn try_redrive_lane(
        &self,
        dlq: &Dlq,
        lane: LaneId,
        candidates: &[Candidate],
    ) -> Result<Option<Vec<Fate>>, Error> {
        // Nobody starts or stops a lane meanwhile.
        let control = self.deployments().control.lock().await;
        let mail = self.deployments().get(&dlq.name).and_then(|it| it.mail(lane));
        if let Some(mail) = mail {
            drop(control);
            let (redrive, answered) = Redrive::new(candidates.to_vec());
            let sent = mail.send(redrive).await;
            return match (sent, answered.await) {
                (Ok(()), Ok(fates)) => fates.map(Some),
                _ => Ok(None),
            };
        }
        let Some(cursor) = self.parts().views.cursor(lane) else { return Ok(None) };
        let settings = &dlq.version.settings;
        let (cursor, parked) = Parked::of(settings.order, cursor);
        let (at, max) = ((lane, &cursor, &parked), ParkedMax::of(settings));
        let mut plan = Plan::of(at, max, candidates, &self.parts().views.letters())?;
        if let Some(commit) = plan.commit.take() {
            self.parts().commit(commit).await?;
        }
        Ok(Some(plan.fates))
    }
}

/// Adds the fate of the letter at this offset to what is told of a request.
fn count(marked: &mut LettersMarked, offset: Offset, fate: Fate) {
    match fate {
        Fate::Taken => marked.marked += 1,
        Fate::NotOpen => marked.not_open += 1,
        Fate::NoRoom(why) => LettersLeft::add(&mut marked.no_room, &why, offset),
        Fate::Busy(why) => LettersLeft::add(&mut marked.busy, why, offset),
    }
}

/// Why a letter is left alone.
enum Left {
    NotOpen,
    For(String),
}
