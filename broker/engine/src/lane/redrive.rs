//! Taking back what was given up: dead letters that are redriven become holes of the lane again.
//!
//! A letter's mark and its hole are one commit, under the cursor's revision and the end of `_letters`:
//! so the letter is redriven once, whoever asks, and is never marked without being handled. The holes
//! of a key are a chain in the order of the source, so that a record taken back comes before all later
//! ones of its key that have no outcome yet.

use logmill_model::internal::{CursorRecord, HoleRecord, RecordPlace};
use logmill_model::{Commit, CommitClass, LaneId, LetterStatus, Offset, Refusal};
use tokio::sync::oneshot;

use super::commit::{moved, stands_at};
use super::parked::{Parked, ParkedMax};
use super::{Lane, Next};
use crate::Error;
use crate::letters::Letters;
use crate::state::Changes;

/// A dead letter of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The offset of its record in the source.
    pub(crate) source: Offset,
    /// Where the letter lies.
    pub(crate) place: RecordPlace,
    /// As of a hole.
    pub(crate) key: u64,
    pub(crate) bytes: u32,
}

/// What becomes of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Taken,
    /// Others have dealt with it.
    NotOpen,
    /// The lane takes no more back now.
    NoRoom(String),
    /// The lane has the record itself now.
    Busy(&'static str),
}

/// What a lane is asked to take back.
#[derive(Debug)]
pub(crate) struct Redrive {
    candidates: Vec<Candidate>,
    answer: oneshot::Sender<Result<Vec<Fate>, Error>>,
}

impl Redrive {
    /// The request, and what is to be waited for: an error is a lane that has stopped with it.
    pub(crate) fn new(
        candidates: Vec<Candidate>,
    ) -> (Self, oneshot::Receiver<Result<Vec<Fate>, Error>>) {
        let (answer, answered) = oneshot::channel();
        (Self { candidates, answer }, answered)
    }
}

/// What of it a lane takes back. Pure.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Of each candidate, in their order.
    pub(crate) fates: Vec<Fate>,
    /// Where the lane stands with it.
    pub(crate) cursor: CursorRecord,
    pub(crate) parked: Parked,
    /// What makes it so; None when nothing is taken back.
    pub(crate) commit: Option<Commit>,
}

impl Plan {
    /// Of a lane that stands here. The candidates are in the order of the source.
    pub(crate) fn of(
        (lane, before, parked): (LaneId, &CursorRecord, &Parked),
        max: ParkedMax,
        candidates: &[Candidate],
        letters: &Letters,
    ) -> Result<Self, Error> {
        let (mut cursor, mut parked) = (before.clone(), parked.clone());
        let (mut fates, mut taken, mut is_full) = (Vec::new(), Vec::new(), false);
        for candidate in candidates {
            let mut fate = fate(candidate, (&cursor, &parked), max, letters);
            if fate == Fate::Taken && is_full {
                // A smaller one does not overtake one that waits for room.
                fate = Fate::NoRoom(parked.said_full());
            }
            is_full |= matches!(fate, Fate::NoRoom(_));
            if fate == Fate::Taken {
                let Candidate { source, place, key, bytes } = *candidate;
                let hole = HoleRecord { key, bytes, failed: None, crashes: 0, place: Some(place) };
                parked.park(source, hole);
                taken.push(place);
            }
            fates.push(fate);
        }
        if taken.is_empty() {
            return Ok(Self { fates, cursor, parked, commit: None });
        }
        cursor.revision += 1;
        let marking = letters.mark(taken, LetterStatus::Redriven)?;
        let moved = moved(lane, &cursor, &parked.take_changes());
        let commit = Commit {
            appends: [moved].into_iter().chain(marking.appends).collect(),
            preconditions: vec![stands_at(lane, before), marking.precondition],
            class: CommitClass::Produce,
        };
        Ok(Self { fates, cursor, parked, commit: Some(commit) })
    }
}

fn fate(
    candidate: &Candidate,
    (cursor, parked): (&CursorRecord, &Parked),
    max: ParkedMax,
    letters: &Letters,
) -> Fate {
    if letters.status(candidate.place) != LetterStatus::Open {
        return Fate::NotOpen;
    }
    if candidate.source >= cursor.next {
        return Fate::Busy("its lane has not come to its record (again)");
    }
    if parked.hole(candidate.source).is_some() {
        return Fate::Busy("its lane is handling its record");
    }
    if !parked.has_room_for(candidate.bytes, max) {
        return Fate::NoRoom(parked.said_full());
    }
    Fate::Taken
}

impl Lane {
    /// Lets go of what it was asked: whoever asked may ask again.
    pub(super) fn turn_away(&mut self) {
        while self.mail.try_recv().is_ok() {}
    }

    /// Takes dead letters back, between two runs: no call is thrown away for it.
    pub(super) async fn take_back(&mut self, redrive: Redrive) -> Next {
        let Redrive { candidates, answer } = redrive;
        if answer.is_closed() {
            return Next::Go;
        }
        let (at, max) = ((self.id, &self.cursor, &self.parked), self.context.parked_max);
        let planned = Plan::of(at, max, &candidates, &self.parts.views.letters());
        let (told, next) = match planned {
            Ok(Plan { fates, commit: None, .. }) => (Ok(fates), Next::Go),
            Ok(Plan { fates, cursor, parked, commit: Some(commit) }) => {
                match self.parts.commit(commit).await {
                    Ok(_) => {
                        self.memory.state.apply(Changes::new(), cursor.revision);
                        (self.cursor, self.parked) = (cursor, parked);
                        (Ok(fates), Next::Go)
                    }
                    Err(error @ Error::Refused(Refusal::StaleCursor(_))) => {
                        (Err(error), self.forget(Next::Go))
                    }
                    Err(error @ (Error::Unknown | Error::ShuttingDown)) => (Err(error), Next::End),
                    Err(error) => (Err(error), Next::Go),
                }
            }
            Err(error) => (Err(error), Next::Go),
        };
        // Whoever asked may have gone: then it asks again, and finds out.
        let _ = answer.send(told);
        next
    }
}
