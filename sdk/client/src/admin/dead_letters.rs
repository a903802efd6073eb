//! Dead letters: which there are, having them handled again, and giving them up.

use std::ops::Range;

use bytes::Bytes;
use logmill_model::limits::RECORD_BYTES_MAX;
use logmill_model::{DeploymentName, LetterEdit, LettersMarked, LettersPage, Offset};
use logmill_wire::{ErrorCode, Fault, Request, Response, Upload};

use super::{Admin, wrong_answer};
use crate::Error;

impl Admin {
    /// A deployment's dead letters in a range of one partition of its dead-letter topic, without the
    /// records: at most `max` of them, and no more than 1000. [`LettersPage::next`] tells where to go
    /// on.
    ///
    /// # Errors
    /// [`Error::Refused`]: unknown deployment, unknown topic, unknown partition; bad request for one
    /// that is no consumer.
    pub async fn dead_letters(
        &self,
        name: DeploymentName,
        partition: u32,
        range: Range<Offset>,
        max: u32,
    ) -> Result<LettersPage, Error> {
        let (from, to) = (range.start, Some(range.end));
        match self.ask(Request::DlqLs { name, partition, from, to, max }).await? {
            Response::Letters(page) => Ok(page),
            _ => Err(wrong_answer()),
        }
    }

    /// Has those of these dead letters that are open handled again by their deployment, as far as its
    /// lanes have room; at most 256 at once. In a `dry_run` nothing changes, and it is told what would.
    ///
    /// # Errors
    /// [`Error::Refused`]: unknown deployment, unknown partition, disk full; overloaded when others
    /// change dead letters as well.
    pub async fn redrive(
        &self,
        name: DeploymentName,
        partition: u32,
        offsets: Vec<Offset>,
        dry_run: bool,
    ) -> Result<LettersMarked, Error> {
        self.marked(Request::DlqRedrive { name, partition, offsets, dry_run }).await
    }

    /// Gives up those of these dead letters that are open, at most 256 at once. They stay in their
    /// topic.
    ///
    /// # Errors
    /// As [`redrive`](Self::redrive).
    pub async fn purge_dead_letters(
        &self,
        name: DeploymentName,
        partition: u32,
        offsets: Vec<Offset>,
    ) -> Result<LettersMarked, Error> {
        self.marked(Request::DlqPurge { name, partition, offsets }).await
    }

    /// Puts a dead letter with another value in the place of an open one. Gives the offset of the new
    /// one, in the same partition.
    ///
    /// # Errors
    /// [`Error::Refused`]: unknown deployment, unknown partition; bad request when no open letter lies
    /// there; record too large.
    pub async fn edit_dead_letter(&self, edit: LetterEdit, value: Bytes) -> Result<Offset, Error> {
        let length = value.len() as u64;
        if value.len() > RECORD_BYTES_MAX {
            let text = format!("it has {length} bytes, at most {RECORD_BYTES_MAX} are allowed");
            return Err(Fault::new(ErrorCode::RecordTooLarge, text).into());
        }
        match self.send(Upload { length, edit: Some(edit) }, value).await? {
            Response::Edited(offset) => Ok(offset),
            _ => Err(wrong_answer()),
        }
    }

    async fn marked(&self, request: Request) -> Result<LettersMarked, Error> {
        match self.ask(request).await? {
            Response::Marked(marked) => Ok(marked),
            _ => Err(wrong_answer()),
        }
    }
}
