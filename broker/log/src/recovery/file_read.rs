//! What one live file holds and how it ends: from its index, or else from all its bytes.

use std::collections::VecDeque;

use logmill_model::Csn;
use logmill_model::internal::CsnRange;

use super::continuity::Gaps;
use super::directory::JournalFile;
use super::evidence::{Behind, look_behind};
use super::placed::Placed;
use super::plan::Live;
use super::scan::{Next, Scan};
use super::segment_read::SegmentRead;
use crate::active_file::Newest;
use crate::entry::{ENTRY_HEADER_BYTES, Kind, SealReason};
use crate::file_header::FileKind;
use crate::index::{IndexBuilder, Seal, Summary};
use crate::{Error, Hole};

/// How a file ends.
pub(super) enum End {
    Sealed(SealReason),
    /// A newer file replaces what follows; and how it was sealed there, if it was.
    Replaced(Option<SealReason>),
    /// Nothing whole follows, and what there was can have been torn.
    Torn,
    /// What follows was durable, and can't be read.
    Lost,
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
    /// The commit before its first.
    pub(super) before: Newest,
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
    /// What of it is corrupt.
    pub(super) holes: Vec<Hole>,
}

impl FileRead {
    /// Reads a file, up to where it counts. `before` is the last commit of those before it, `next` the
    /// first one of a file that was written later, and `gaps` what is known of more commits.
    pub(super) fn of(
        live: &Live,
        before: Newest,
        next: &dyn Fn() -> Result<Option<Csn>, Error>,
        gaps: &Gaps,
    ) -> Result<Self, Error> {
        let Live { file, until, has_bad } = live;
        let until = *until;
        let summary = if *has_bad { None } else { file.summary()? };
        if file.header.kind == FileKind::Segment {
            return match summary {
                Some(summary) => Self::summed_up(file, summary, None, before),
                None => Self::segment(file, before),
            };
        }
        match summary {
            Some(summary) if until.is_none_or(|it| it == summary.seal.newest.csn.next()) => {
                Self::summed_up(file, summary, until, before)
            }
            _ => {
                let known = match until {
                    Some(until) => Durable::Followed(until),
                    None => Durable::of(file, next()?, gaps),
                };
                Self::scanned(file, until, known, before)
            }
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
        if before.is_chained() && prev_crc != before.entry_crc {
            let what = format!("entry {} follows another history", before.csn.next());
            return Err(Error::corrupt(&file.path, position, what));
        }
        let end = if until.is_some() { End::Replaced(Some(reason)) } else { End::Sealed(reason) };
        Ok(Self {
            before: Newest { entry_crc: prev_crc, ..before },
            contents: Contents::Summary(summary),
            unproven: VecDeque::new(),
            end,
            position,
            newest,
            proven: newest,
            holes: Vec::new(),
        })
    }

    fn segment(file: &JournalFile, before: Newest) -> Result<Self, Error> {
        let SegmentRead { index, newest, prev_crc, position, holes } = SegmentRead::of(file)?;
        if before.is_chained() && prev_crc != before.entry_crc {
            let what = format!("entry {} follows another history", before.csn.next());
            return Err(Error::corrupt(&file.path, position, what));
        }
        Ok(Self {
            before: Newest { entry_crc: prev_crc, ..before },
            contents: Contents::Index(index),
            unproven: VecDeque::new(),
            end: End::Sealed(SealReason::Cleaned),
            position,
            newest,
            proven: newest,
            holes,
        })
    }

    fn scanned(
        file: &JournalFile,
        until: Option<Csn>,
        known: Durable,
        before: Newest,
    ) -> Result<Self, Error> {
        let mut scan = Scan::new(file, before)?;
        let mut commits = Commits::after(before);
        let mut position;
        let end = loop {
            position = scan.position();
            if until == Some(scan.newest().csn.next()) {
                break End::Replaced(read_seal(&mut scan)?);
            }
            let newest = scan.newest();
            match scan.next()? {
                Next::Commit(commit) => commits.newer.push_back(commit),
                Next::Damaged(commit, lost, what) => {
                    let csn = commit.newest.csn;
                    if look_behind(file, position, csn, known.proof_of(csn))?.proof.is_none() {
                        scan.step_back(position, newest);
                        break End::Torn;
                    }
                    let bytes = u64::from(commit.length);
                    commits.newer.push_back(commit);
                    commits.prove(csn).map_err(|what| scan.corrupt(what))?;
                    commits
                        .holes
                        .push(Hole { lost, ..Hole::at(&file.path, position, bytes, what) });
                }
                Next::Mark(Kind::Seal(reason)) => break End::Sealed(reason),
                Next::Mark(_) => {}
                Next::Bad(what) => {
                    match skip(file, &mut scan, &mut commits, (until, known, what))? {
                        Skipped::Hole => {}
                        Skipped::Rest => {
                            position = scan.position();
                            break End::Lost;
                        }
                        Skipped::Torn => break End::Torn,
                    }
                }
            }
            commits.prove(scan.durable_csn()).map_err(|what| scan.corrupt(what))?;
        };
        if matches!(end, End::Replaced(_)) {
            position = scan.position();
        }
        if !matches!(end, End::Torn) {
            commits.prove(scan.newest().csn).map_err(|what| scan.corrupt(what))?;
        }
        Ok(Self {
            before: scan.before(),
            contents: Contents::Index(commits.index),
            unproven: commits.newer,
            end,
            position,
            newest: scan.newest(),
            proven: commits.proven,
            holes: commits.holes,
        })
    }

    /// The file's seal, or the one that it gets behind its proven commits.
    pub(super) fn seal(&self) -> Seal {
        let end = self.proven_end() + ENTRY_HEADER_BYTES as u64;
        let reason = match self.end {
            End::Sealed(reason) | End::Replaced(Some(reason)) => reason,
            End::Lost => SealReason::Rolled,
            End::Replaced(None) | End::Torn => SealReason::Superseded,
        };
        Seal { reason, prev_crc: self.before.entry_crc, newest: self.proven, end }
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
    holes: Vec<Hole>,
}

impl Commits {
    fn after(newest: Newest) -> Self {
        let (index, newer) = (IndexBuilder::default(), VecDeque::new());
        Self { index, newer, proven: newest, holes: Vec::new() }
    }

    fn prove(&mut self, durable: Csn) -> Result<(), String> {
        while let Some(commit) = self.newer.pop_front_if(|commit| commit.newest.csn <= durable) {
            let missing = commit.index(&mut self.index)?;
            if let Some(hole) = self.holes.iter_mut().rfind(|it| it.position < commit.position) {
                hole.lost.extend(missing);
            }
            self.proven = commit.newest;
        }
        Ok(())
    }
}

/// What became of a bad place.
enum Skipped {
    /// It is corrupt; the scan goes on behind it.
    Hole,
    /// It is corrupt, and nothing whole follows in the file.
    Rest,
    /// It can have been torn.
    Torn,
}

/// What is known to have been durable of a file, whatever it has now.
#[derive(Debug, Clone, Copy)]
enum Durable {
    Unknown,
    /// All of it: a later file, or what has replaced its end, begins with this commit.
    Followed(Csn),
    /// Its commits up to this one.
    Sealed(Csn),
    /// The last file, and commits up to the first of these, in it or behind it; the last one that there
    /// can have been is the second.
    Claimed(Csn, Csn),
}

impl Durable {
    fn of(file: &JournalFile, next: Option<Csn>, gaps: &Gaps) -> Self {
        let claimed = gaps.claimed.csn;
        match (next, file.sealed_at()) {
            (Some(next), _) => Self::Followed(next),
            (None, Some(last)) if last >= claimed => Self::Sealed(last),
            (None, _) if claimed >= file.header.first => {
                Self::Claimed(claimed, gaps.last_of_gone(claimed))
            }
            (None, Some(last)) => Self::Sealed(last),
            (None, None) => Self::Unknown,
        }
    }

    /// Why `csn`, or a mark before it, must have been durable, if that is known.
    fn proof_of(self, csn: Csn) -> Option<&'static str> {
        match self {
            // The mark before a file's successor comes right before its first entry.
            Self::Followed(next) => (csn <= next).then_some("a later file follows"),
            Self::Sealed(last) => (csn <= last).then_some("its index was written with it"),
            Self::Claimed(last, _) => (csn <= last).then_some("something tells of a later entry"),
            Self::Unknown => None,
        }
    }

    /// The file's last commit, when `newest` is the last one that is there.
    fn last(self, newest: Csn) -> Csn {
        match self {
            Self::Followed(next) => Csn(next.0.saturating_sub(1)),
            Self::Sealed(last) | Self::Claimed(_, last) => last,
            Self::Unknown => newest,
        }
    }
}

/// Goes on behind a bad place, if what was there had been durable.
fn skip(
    file: &JournalFile,
    scan: &mut Scan<'_>,
    commits: &mut Commits,
    (until, known, what): (Option<Csn>, Durable, String),
) -> Result<Skipped, Error> {
    let (position, newest) = (scan.position(), scan.newest());
    let expected = newest.csn.next();
    let Behind { proof, next } = look_behind(file, position, expected, known.proof_of(expected))?;
    let Some(proof) = proof else { return Ok(Skipped::Torn) };
    commits.prove(newest.csn).map_err(|what| scan.corrupt(what))?;
    let what = format!("entry {expected} should be here: {what}, and {proof}");
    let (bytes, skipped) = match next {
        Some((at, header)) => {
            scan.go_on(at, &header);
            if let Some(until) = until {
                scan.end_at(Csn(until.0.saturating_sub(1)));
            }
            (at - position, Skipped::Hole)
        }
        None => {
            let bytes = scan.rest()?;
            scan.give_up(known.last(newest.csn), bytes);
            (bytes, Skipped::Rest)
        }
    };
    let last = scan.newest().csn;
    let csns = (last >= expected).then_some(CsnRange { first: expected, last });
    commits.proven = scan.newest();
    let is_cut = matches!(skipped, Skipped::Rest);
    commits.holes.push(Hole { csns, is_cut, ..Hole::at(&file.path, position, bytes, what) });
    Ok(skipped)
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
