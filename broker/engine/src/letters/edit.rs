//! Putting a dead letter with another value in the place of one.

use bytes::Bytes;
use logmill_model::internal::RecordPlace;
use logmill_model::limits::RECORD_BYTES_MAX;
use logmill_model::{
    Append, BatchBuilder, Commit, DeadLetter, LetterEdit, LetterStatus, Offset, Record, RecordBatch,
};

use super::find::{Dlq, Found, Letter};
use super::purge::NO_LETTER;
use crate::limits::LETTERS_TRIES_MAX;
use crate::{Engine, Error};

impl Engine {
    /// Appends an open dead letter again with another value and all else as it is, and marks the
    /// one before as purged; both or nothing. Returns where the new one lies in the same partition.
    ///
    /// # Errors
    /// [`Error::UnknownDeployment`], [`Error::UnknownPartition`], [`Error::LettersRefused`] when no
    /// open letter lies there, [`Error::Invalid`] for a value that is too large,
    /// [`Error::StandsStill`].
    pub async fn edit_letter(&self, edit: &LetterEdit, value: Bytes) -> Result<Offset, Error> {
        let dlq = self.dlq_to_change(&edit.name, edit.partition)?;
        let mut found = dlq.find(self.parts(), [edit.offset].into(), |letter| letter).await?;
        let letter = match found.remove(&edit.offset) {
            Some(Found::Letter(letter)) => letter,
            Some(Found::Unreadable(why)) => return Err(dlq.not_editable(edit.offset, &why)),
            Some(Found::Other) | None => return Err(dlq.not_editable(edit.offset, NO_LETTER)),
        };
        let record = DeadLetter::edited(&letter.record, value, edit.offset);
        check_size(&record)?;
        self.replace(&dlq, edit.offset, &letter, &record).await
    }

    async fn replace(
        &self,
        dlq: &Dlq,
        offset: Offset,
        before: &Letter,
        record: &Record,
    ) -> Result<Offset, Error> {
        let (place, mut overtaken) = (dlq.place(offset), Error::ShuttingDown);
        let batch = RecordBatch::of([record])?;
        for _ in 0..LETTERS_TRIES_MAX {
            let marking = {
                let marks = self.parts().views.letters();
                match marks.status(place) {
                    LetterStatus::Open => marks.mark([place], LetterStatus::Purged)?,
                    status => return Err(dlq.not_editable(offset, &is_not_open(status))),
                }
            };
            let new = Append { hops: before.hops, ..Append::new(dlq.partition, batch.clone()) };
            let appends = [new].into_iter().chain(marking.appends).collect();
            let preconditions = vec![marking.precondition];
            let commit = Commit { appends, preconditions, ..Commit::default() };
            match self.parts().commit(commit).await {
                Ok(committed) => return Ok(committed.base_offsets[0]),
                Err(error) if error.is_overtaken() => overtaken = error,
                Err(error) => return Err(error),
            }
        }
        Err(overtaken)
    }
}

/// What a letter's record may have is what any record may: its provenance comes on top.
fn check_size(letter: &Record) -> Result<(), Error> {
    let bytes = BatchBuilder::encoded_bytes(&DeadLetter::original(letter));
    if bytes <= RECORD_BYTES_MAX {
        return Ok(());
    }
    Err(logmill_model::Error::RecordTooLarge { index: 0, bytes, max: RECORD_BYTES_MAX }.into())
}

/// Why a letter that is not open is left alone.
pub(super) fn is_not_open(status: LetterStatus) -> String {
    format!("it is {} already", status.as_str())
}

impl Dlq {
    /// Where a letter lies.
    pub(super) fn place(&self, offset: Offset) -> RecordPlace {
        RecordPlace { partition: self.partition, offset }
    }

    fn not_editable(&self, offset: Offset, why: &str) -> Error {
        let (topic, partition) = (&self.topic, self.partition.index);
        Error::LettersRefused(format!("offset {offset} of {topic}/{partition} stays: {why}"))
    }
}
