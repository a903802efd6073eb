//! A file of the log that is copied: its entries, each verified, and what was accepted as lost as it
//! is.

use std::sync::Arc;

use crate::entry::{Head, Kind};
use crate::file_check::{EntryRead, read_entry};
use crate::file_header::FILE_HEADER_BYTES;
use crate::log_file::LogFile;
use crate::visible::Visible;
use crate::window::{CHUNK_BYTES, Window};
use crate::{Error, Hole};

/// Takes bytes; false when no more are wanted.
pub(super) type Take<'a> = &'a mut dyn FnMut(&[u8]) -> Result<bool, Error>;

/// A file, read from front to back.
pub(super) struct Source<'a> {
    visible: &'a Visible,
    file: &'a LogFile,
    window: Window,
    /// Its length.
    bytes: u64,
    position: u64,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Entry,
    /// The last entry of a file.
    Seal,
    /// What was accepted as lost.
    Hole,
    /// No more is wanted.
    Enough,
}

impl<'a> Source<'a> {
    pub(super) fn open(visible: &'a Visible, file: &'a Arc<LogFile>) -> Result<Self, Error> {
        let opened = visible.files.open(file)?;
        let bytes = opened.bytes().map_err(|error| Error::io("read", &file.path, error))?;
        let window = file.window(opened);
        Ok(Self { visible, file, window, bytes, position: FILE_HEADER_BYTES as u64 })
    }

    /// The file's header, as it was when the log was opened: where one of its copies has rotted
    /// since, or before, it is whole again in a backup.
    pub(super) fn header(&mut self) -> Result<Vec<u8>, Error> {
        let header = self.file.header.encode();
        if self.window.at(0, FILE_HEADER_BYTES)?.get(..FILE_HEADER_BYTES) != Some(&header[..]) {
            let path = &self.file.path;
            tracing::warn!(path, "the header of a file has rotted; a backup has it whole");
        }
        Ok(header.to_vec())
    }

    /// All of a sealed file.
    pub(super) fn all(&mut self, take: Take<'_>) -> Result<Step, Error> {
        if !take(&self.header()?)? {
            return Ok(Step::Enough);
        }
        let end = self.window.zeros_from_end()?;
        let mut last = Step::Entry;
        while self.position < end && matches!(last, Step::Entry | Step::Hole) {
            last = self.step(take)?;
        }
        match last {
            Step::Entry => {
                self.accepted(Hole::at(&self.file.path, self.position, 0, "its seal is missing"))?;
            }
            // Zeros may follow.
            Step::Hole if !self.take_raw(self.bytes, take)? => return Ok(Step::Enough),
            _ => {}
        }
        Ok(last)
    }

    /// What comes next.
    pub(super) fn step(&mut self, take: Take<'_>) -> Result<Step, Error> {
        let LogFile { path, header, .. } = self.file;
        let hole = match read_entry(&mut self.window, path, header, self.position)? {
            Ok(EntryRead { head, entry, damage: None }) => {
                self.position += entry.len() as u64;
                let is_seal = matches!(head.header.kind, Kind::Seal(_));
                let step = if is_seal { Step::Seal } else { Step::Entry };
                return Ok(if take(&entry)? { step } else { Step::Enough });
            }
            Ok(EntryRead { damage: Some(hole), .. }) | Err(hole) => hole,
        };
        let end = hole.position + hole.bytes;
        self.accepted(hole)?;
        Ok(if self.take_raw(end, take)? { Step::Hole } else { Step::Enough })
    }

    /// What lies before `end`, unverified.
    fn take_raw(&mut self, end: u64, take: Take<'_>) -> Result<bool, Error> {
        while self.position < end {
            let wanted = usize::try_from(end - self.position).unwrap_or(usize::MAX);
            let wanted = wanted.min(CHUNK_BYTES);
            let bytes = self.window.at(self.position, wanted)?;
            let bytes = &bytes[..bytes.len().min(wanted)];
            if bytes.is_empty() || !take(bytes)? {
                return Ok(false);
            }
            self.position += bytes.len() as u64;
        }
        Ok(true)
    }

    /// Fails when a hole was not accepted.
    fn accepted(&self, hole: Hole) -> Result<(), Error> {
        if self.visible.is_accepted(&hole) {
            return Ok(());
        }
        self.visible.found(hole.clone());
        Err(Error::not_accepted(hole))
    }

    /// The head of the next entry. Where `may_end`, what is not one is the end: it is being written.
    pub(super) fn peek(&mut self, may_end: bool) -> Result<Option<Head>, Error> {
        match self.window.head(self.position, self.file.header.salt)? {
            Ok(head) => Ok(Some(head)),
            Err(_) if may_end => Ok(None),
            Err(what) => {
                Err(Error::not_accepted(Hole::at(&self.file.path, self.position, 0, what)))
            }
        }
    }
}
