//! Giving dead letters up.

use logmill_model::internal::RecordPlace;
use logmill_model::{
    Commit, CommitClass, DeploymentName, LetterStatus, LettersLeft, LettersMarked, Offset,
};

use super::find::{Dlq, Found, wanted};
use crate::limits::LETTERS_TRIES_MAX;
use crate::parts::Parts;
use crate::{Engine, Error};

/// Why what lies at an offset is left alone.
pub(super) const NO_LETTER: &str = "it is no dead letter of this deployment, or not any more";

impl Engine {
    /// Marks dead letters of a deployment as purged, those that are open. They stay where they are.
    ///
    /// # Errors
    /// [`Error::UnknownDeployment`], [`Error::LettersRefused`], [`Error::LettersFull`],
    /// [`Error::UnknownPartition`], [`Error::StandsStill`].
    pub async fn purge_letters(
        &self,
        name: &DeploymentName,
        partition: u32,
        offsets: &[Offset],
    ) -> Result<LettersMarked, Error> {
        let wanted = wanted(offsets)?;
        let dlq = self.dlq_to_change(name, partition)?;
        let found = dlq.find(self.parts(), wanted, |_| ()).await?;
        let (mut marked, mut letters) = (LettersMarked::default(), Vec::new());
        for (offset, found) in found {
            match found {
                // One that can't be read is given up as well as any.
                Found::Letter(()) | Found::Unreadable(_) => letters.push(offset),
                Found::Other => LettersLeft::add(&mut marked.skipped, NO_LETTER, offset),
            }
        }
        marked.marked = self.parts().purge(&dlq, &letters).await?;
        marked.not_open = letters.len() as u64 - marked.marked;
        Ok(marked)
    }
}

impl Parts {
    async fn purge(&self, dlq: &Dlq, letters: &[Offset]) -> Result<u64, Error> {
        let mut overtaken = Error::ShuttingDown;
        for _ in 0..LETTERS_TRIES_MAX {
            let places = letters.iter().map(|offset| dlq.place(*offset));
            let (count, marking) = {
                let marks = self.views.letters();
                let is_open = |it: &RecordPlace| marks.status(*it) == LetterStatus::Open;
                let open: Vec<RecordPlace> = places.filter(is_open).collect();
                if open.is_empty() {
                    return Ok(0);
                }
                (open.len() as u64, marks.mark(open, LetterStatus::Purged)?)
            };
            let commit = Commit {
                appends: marking.appends,
                preconditions: vec![marking.precondition],
                class: CommitClass::Progress,
            };
            match self.commit(commit).await {
                Ok(_) => return Ok(count),
                Err(error) if error.is_overtaken() => overtaken = error,
                Err(error) => return Err(error),
            }
        }
        Err(overtaken)
    }
}
