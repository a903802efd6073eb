//! What one live file holds and how it ends: from its index, or else from all its bytes.

use std::collections::VecDeque;

use logmill_model::Csn;

use super::directory::JournalFile;
use super::placed::Placed;
use super::scan::{Next, Scan};
use super::segment_read::SegmentRead;
use crate::Error;
use crate::active_file::Newest;
use crate::entry::{ENTRY_HEADER_BYTES, Kind, SealReason};
use crate::file_header::FileKind;
use crate::index::{IndexBuilder, Seal, Summary};

/// How a file ends.
pub(super) enum End {
    Sealed(SealReason),
    /// A newer file replaces what follows; and how it was sealed there, if it was.
    Replaced(Option<SealReason>),
    /// Nothing whole follows.
    Bad(String),
}

/// Where the batches of a file lie.
pub(super) enum Contents {
    /// Its index says so.
    Summary(Summary),
    /// All of it was read.
    Index(IndexBuilder),
}

/// What was found in one file.
pub(super) struct FileRead {
    /// Of its commits but the unproven ones.
    pub(super) contents: Contents,
    /// Whole commits at the end of a file without a seal that nothing proves durable.
    pub(super) unproven: VecDeque<Placed>,
    pub(super) end: End,
    /// Where the last whole commit or mark ends; before the seal, if there is one.
    pub(super) position: u64,
    pub(super) newest: Newest,
    /// The newest commit that is proven durable, or the one before the file.
    pub(super) proven: Newest,
    pub(super) durable_csn: Csn,
}

impl FileRead {
    /// Reads a file, up to before `until` if that is given; `before` is the last commit of those
    /// before it.
    pub(super) fn of(
        file: &JournalFile,
        until: Option<Csn>,
        before: Newest,
    ) -> Result<Self, Error> {
        if file.header.kind == FileKind::Segment {
            return Self::segment(file, before);
        }
        match file.summary()? {
            Some(summary) if until.is_none_or(|it| it == summary.seal.newest.csn.next()) => {
                Self::summed_up(file, summary, until, before)
            }
            _ => Self::scanned(file, until, before),
        }
    }

    fn summed_up(
        file: &JournalFile,
        summary: Summary,
        until: Option<Csn>,
        before: Newest,
    ) -> Result<Self, Error> {
        let Seal { reason, prev_crc, newest, end } = summary.seal;
        let position = end - ENTRY_HEADER_BYTES as u64;
        if prev_crc != before.entry_crc {
            let what = format!("entry {} follows another history", before.csn.next());
            return Err(Error::corrupt(&file.path, position, what));
        }
        let end = if until.is_some() { End::Replaced(Some(reason)) } else { End::Sealed(reason) };
        Ok(Self {
            contents: Contents::Summary(summary),
            unproven: VecDeque::new(),
            end,
            position,
            newest,
            proven: newest,
            durable_csn: newest.csn,
        })
    }

    fn segment(file: &JournalFile, before: Newest) -> Result<Self, Error> {
        if let Some(summary) = file.summary()? {
            return Self::summed_up(file, summary, None, before);
        }
        let SegmentRead { index, newest, prev_crc, position } = SegmentRead::of(file)?;
        if prev_crc != before.entry_crc {
            let what = format!("entry {} follows another history", before.csn.next());
            return Err(Error::corrupt(&file.path, position, what));
        }
        Ok(Self {
            contents: Contents::Index(index),
            unproven: VecDeque::new(),
            end: End::Sealed(SealReason::Cleaned),
            position,
            newest,
            proven: newest,
            durable_csn: newest.csn,
        })
    }

    fn scanned(file: &JournalFile, until: Option<Csn>, before: Newest) -> Result<Self, Error> {
        let mut scan = Scan::new(file, before)?;
        let mut commits =
            Commits { index: IndexBuilder::default(), newer: VecDeque::new(), proven: before };
        let mut position;
        let end = loop {
            position = scan.position();
            if until == Some(scan.newest().csn.next()) {
                break End::Replaced(read_seal(&mut scan)?);
            }
            match scan.next()? {
                Next::Commit(commit) => commits.newer.push_back(commit),
                Next::Mark(Kind::Seal(reason)) => break End::Sealed(reason),
                Next::Mark(_) => {}
                Next::Bad(what) => break End::Bad(what),
            }
            commits.prove(scan.durable_csn()).map_err(|what| scan.corrupt(what))?;
        };
        if matches!(end, End::Replaced(_)) {
            position = scan.position();
        } else if let Some(until) = until {
            let next = scan.newest().csn.next();
            return Err(scan.corrupt(format!("entries {next} to before {until} are missing")));
        }
        if !matches!(end, End::Bad(_)) {
            commits.prove(scan.newest().csn).map_err(|what| scan.corrupt(what))?;
        }
        Ok(Self {
            contents: Contents::Index(commits.index),
            unproven: commits.newer,
            end,
            position,
            newest: scan.newest(),
            proven: commits.proven,
            durable_csn: scan.durable_csn(),
        })
    }

    /// The file's seal, or the one that it gets behind its proven commits.
    pub(super) fn seal(&self, before: Newest) -> Seal {
        let end = self.proven_end() + ENTRY_HEADER_BYTES as u64;
        let reason = match self.end {
            End::Sealed(reason) | End::Replaced(Some(reason)) => reason,
            End::Replaced(None) | End::Bad(_) => SealReason::Superseded,
        };
        Seal { reason, prev_crc: before.entry_crc, newest: self.proven, end }
    }

    /// Takes where its batches lie.
    pub(super) fn take_contents(&mut self) -> Contents {
        std::mem::replace(&mut self.contents, Contents::Index(IndexBuilder::default()))
    }

    /// Where its proven commits end.
    pub(super) fn proven_end(&self) -> u64 {
        self.unproven.front().map_or(self.position, |commit| commit.position)
    }
}

/// The commits of a file, as far as it was read.
struct Commits {
    /// Of those that are proven durable.
    index: IndexBuilder,
    /// The others.
    newer: VecDeque<Placed>,
    proven: Newest,
}

impl Commits {
    fn prove(&mut self, durable: Csn) -> Result<(), String> {
        while let Some(commit) = self.newer.pop_front_if(|commit| commit.newest.csn <= durable) {
            commit.index(&mut self.index)?;
            self.proven = commit.newest;
        }
        Ok(())
    }
}

/// Reads the marks behind the last live commit of a file, up to its seal if it has one.
fn read_seal(scan: &mut Scan<'_>) -> Result<Option<SealReason>, Error> {
    loop {
        match scan.peek()? {
            Some(Kind::Seal(reason)) => return Ok(Some(reason)),
            Some(Kind::Checkpoint | Kind::Recovered) => _ = scan.next()?,
            Some(Kind::Commit | Kind::Block | Kind::Coverage) | None => return Ok(None),
        }
    }
}
