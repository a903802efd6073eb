//! Reads the entries of one file in order and checks each against the one before.

use logmill_model::Csn;

use super::directory::JournalFile;
use super::placed::Placed;
use crate::active_file::Newest;
use crate::entry::{EntryHeader, Head, Kind};
use crate::file_header::FILE_HEADER_BYTES;
use crate::window::Window;
use crate::{Error, LostRange};

/// Reads one file.
pub(super) struct Scan<'a> {
    file: &'a JournalFile,
    window: Window,
    position: u64,
    /// The last commit of the files before.
    before: Newest,
    newest: Newest,
    durable_csn: Csn,
    /// Whether what the file supersedes has been read; true from the start in others.
    recovered: bool,
}

/// What comes next in a file.
pub(super) enum Next {
    Commit(Placed),
    /// Its header and table are whole, these of its batches are not.
    Damaged(Placed, Vec<LostRange>, String),
    Mark(Kind),
    /// Nothing whole lies at the position.
    Bad(String),
}

impl<'a> Scan<'a> {
    /// Begins behind the file's header. `newest` is the last commit of the files before it.
    pub(super) fn new(file: &'a JournalFile, newest: Newest) -> Result<Self, Error> {
        Ok(Self {
            before: newest,
            file,
            window: file.window()?,
            position: FILE_HEADER_BYTES as u64,
            newest,
            durable_csn: Csn(file.header.first.0.saturating_sub(1)),
            recovered: file.header.supersedes.is_none(),
        })
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn newest(&self) -> Newest {
        self.newest
    }

    /// The newest commit that the file so far proves durable. Files before it are sealed.
    pub(super) fn durable_csn(&self) -> Csn {
        self.durable_csn
    }

    /// Reads on. An entry that is whole, but not the one that belongs here, is an error.
    pub(super) fn next(&mut self) -> Result<Next, Error> {
        let head = match self.head()? {
            Ok(head) => head,
            Err(what) => return Ok(Next::Bad(what.to_owned())),
        };
        if matches!(head.header.kind, Kind::Block | Kind::Coverage) {
            return Err(self.corrupt("a journal has no entry of a segment".to_owned()));
        }
        if head.header.kind != Kind::Commit {
            self.check_mark(&head)?;
            self.accept(&head);
            return Ok(Next::Mark(head.header.kind));
        }
        self.check_commit(&head)?;
        let length = head.header.length as usize;
        let bytes = self.window.at(self.position, length)?;
        if bytes.len() < length {
            return Ok(Next::Bad("the file ends within the entry".to_owned()));
        }
        let entry = bytes.slice(..length);
        let damage = head.batches(&entry).err().map(|what| (head.bad_batches(&entry), what));
        let position = self.position;
        self.accept(&head);
        let placed = Placed::new(position, head);
        self.newest = placed.newest;
        Ok(match damage {
            None => Next::Commit(placed),
            Some((lost, what)) => Next::Damaged(placed, lost, what),
        })
    }

    /// Goes on at a whole header behind a bad place.
    pub(super) fn go_on(&mut self, position: u64, header: &EntryHeader) {
        let before = match header.kind {
            Kind::Commit => Csn(header.csn.0.saturating_sub(1)),
            _ => header.csn,
        };
        self.newest = Newest { csn: before, entry_crc: header.prev_crc, time: self.newest.time };
        self.recovered |= header.epoch == self.file.header.epoch;
        self.position = position;
    }

    /// Nothing whole follows: the entries up to `last` are lost, in so many bytes.
    pub(super) fn give_up(&mut self, last: Csn, bytes: u64) {
        if last > self.newest.csn {
            (self.newest.csn, self.newest.entry_crc) = (last, 0);
        }
        self.position += bytes;
    }

    /// What lies behind belongs to a newer file: `last` is the last entry of this one.
    pub(super) fn end_at(&mut self, last: Csn) {
        if last < self.newest.csn {
            (self.newest.csn, self.newest.entry_crc) = (last, 0);
        }
    }

    /// The commit before the file's first.
    pub(super) fn before(&self) -> Newest {
        self.before
    }

    /// Takes back what was read last: it can have been torn.
    pub(super) fn step_back(&mut self, position: u64, newest: Newest) {
        (self.position, self.newest) = (position, newest);
    }

    /// What of the file's end can't be read.
    pub(super) fn rest(&mut self) -> Result<u64, Error> {
        Ok(self.window.zeros_from(self.position)? - self.position)
    }

    /// What lies at the position, if it is whole; it is not judged.
    pub(super) fn peek(&mut self) -> Result<Option<Kind>, Error> {
        Ok(self.head()?.ok().map(|head| head.header.kind))
    }

    fn head(&mut self) -> Result<Result<Head, &'static str>, Error> {
        self.window.head(self.position, self.file.header.salt)
    }

    fn accept(&mut self, head: &Head) {
        self.durable_csn = self.durable_csn.max(head.header.durable_csn);
        self.recovered |= head.header.kind == Kind::Recovered;
        self.position += u64::from(head.header.length);
    }

    /// Takes the entry before a file's first one from that, when nothing else tells it.
    fn chain(&mut self, header: &EntryHeader) {
        if !self.newest.is_chained() {
            self.newest.entry_crc = header.prev_crc;
            if self.before.csn == self.newest.csn {
                self.before.entry_crc = header.prev_crc;
            }
        }
    }

    fn check_commit(&mut self, head: &Head) -> Result<(), Error> {
        self.chain(&head.header);
        let expected = self.newest.csn.next();
        if head.header.csn != expected {
            return Err(
                self.corrupt(format!("entry {} lies where {expected} belongs", head.header.csn))
            );
        }
        if head.header.prev_crc != self.newest.entry_crc {
            return Err(self.corrupt(format!("entry {expected} follows another history")));
        }
        let of_this_start = head.header.epoch == self.file.header.epoch;
        if of_this_start != self.recovered || head.header.epoch > self.file.header.epoch {
            return Err(self.corrupt(format!("entry {expected} is of the wrong epoch")));
        }
        Ok(())
    }

    fn check_mark(&mut self, head: &Head) -> Result<(), Error> {
        let header = &head.header;
        self.chain(header);
        if (header.csn, header.prev_crc) != (self.newest.csn, self.newest.entry_crc) {
            return Err(self.corrupt(format!(
                "entry {} should come before this, but {} does",
                header.csn, self.newest.csn
            )));
        }
        Ok(())
    }

    pub(super) fn corrupt(&self, what: impl Into<String>) -> Error {
        Error::corrupt(&self.file.path, self.position, what)
    }
}
