//! Goes through all that is live, in order, and finds where it ends. Changes nothing on disk.

use std::collections::VecDeque;

use logmill_model::internal::CsnRange;
use logmill_model::{Csn, Epoch};

use super::continuity::{Before, Gaps, first_prev_crc};
use super::directory::{HeadlessFile, JournalFile};
use super::file_read::{Contents, End, FileRead};
use super::losses::Losses;
use super::new_indexes::NewIndexes;
use super::placed::Placed;
use super::plan::Live;
use crate::active_file::Newest;
use crate::entry::SealReason;
use crate::file_name::FileName;
use crate::hole::entries_in;
use crate::index::IndexBuilder;
use crate::visible::Visible;
use crate::{Error, Hole, index_file};

/// What the journal holds.
#[derive(Default)]
pub(super) struct History {
    /// The newest commit of all.
    pub(super) newest: Newest,
    /// The file that the last broker wrote last.
    pub(super) tail: Option<Tail>,
    /// Older files that a newer one replaces from some entry on, and that are not sealed there.
    pub(super) unsealed: Vec<Unsealed>,
    /// Paths of files in which no commit is live.
    pub(super) empty: Vec<String>,
    /// What is corrupt, and what that has cost.
    pub(super) losses: Losses,
    /// Whether the journal ends with a file that nobody can read.
    pub(super) lost_tail: bool,
    /// The last file that was shown, and where it ends.
    last_file: Option<(String, u64)>,
    /// Indexes that were missing or bad.
    pub(super) new_indexes: NewIndexes,
    /// Files with commits, and their bytes.
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Files that were read whole, and their bytes.
    pub(super) scanned_files: u64,
    pub(super) scanned_bytes: u64,
}

/// The end of the journal.
pub(super) struct Tail {
    pub(super) file: JournalFile,
    /// Whether the last broker closed it.
    pub(super) stopped: bool,
    /// The newest commit that is proven durable, here or in a file before.
    pub(super) proven: Newest,
    /// Whether the file holds any proven commit.
    pub(super) has_proven: bool,
    /// Whole commits that nothing proves durable.
    pub(super) unproven: VecDeque<Placed>,
    /// Where the proven ones end, and where the whole ones do.
    pub(super) proven_end: u64,
    pub(super) whole_end: u64,
}

/// A file to be sealed behind its commit `newest`, which ends at `position`.
pub(super) struct Unsealed {
    pub(super) file: JournalFile,
    pub(super) newest: Newest,
    pub(super) position: u64,
}

impl History {
    /// Reads the live files, and shows readers what is proven.
    pub(super) fn read(
        live: Vec<Live>,
        headless: Vec<HeadlessFile>,
        gaps: &Gaps,
        visible: &Visible,
    ) -> Result<Self, Error> {
        let mut history = Self::default();
        let mut rest = Rest { live: live.into(), headless: headless.into() };
        while let Some(next) = rest.pop() {
            match next {
                NextFile::Live(live) => history.read_file(live, &mut rest, gaps, visible)?,
                NextFile::Headless(file) => {
                    let next = rest.first_with_entries()?;
                    history.skip_headless(&file, next, gaps, visible)?;
                }
            }
        }
        Ok(history)
    }

    fn read_file(
        &mut self,
        live: Live,
        rest: &mut Rest,
        gaps: &Gaps,
        visible: &Visible,
    ) -> Result<(), Error> {
        let before = match gaps.before(&live.file, self.newest)? {
            Before::Commit(before) => before,
            Before::Gap(gap) => {
                self.skip_gap(gap, &live.file.path, gaps, visible)?;
                Newest { entry_crc: first_prev_crc(&live.file)?, ..self.newest }
            }
        };
        let is_last = rest.is_empty();
        let mut read = FileRead::of(&live, before, &|| rest.first_with_entries(), gaps)?;
        let file = live.file;
        self.newest = read.newest;
        if let Contents::Index(_) = read.contents {
            self.scanned_files += 1;
            self.scanned_bytes += read.position;
        }
        match &read.end {
            End::Replaced(seal) => {
                let (newest, position, sealed) = (read.newest, read.position, seal.is_some());
                self.add_file(&file, &mut read, visible)?;
                if !sealed {
                    self.unsealed.push(Unsealed { file, newest, position });
                }
            }
            End::Sealed(SealReason::Stopped) if is_last && !gaps.is_followed(read.newest.csn) => {
                self.end(file, read, visible)?;
            }
            End::Sealed(_) if is_last => {
                let newest = read.newest.csn;
                let place = (file.path.clone(), read.seal().end);
                let hole = gaps.hole_at_end(newest, &place)?;
                self.add_file(&file, &mut read, visible)?;
                self.skip(hole, visible);
                self.lost_tail = true;
            }
            End::Sealed(_) => self.add_file(&file, &mut read, visible)?,
            End::Lost => {
                self.add_file(&file, &mut read, visible)?;
                self.lost_tail |= is_last;
            }
            End::Torn => {
                if rest.first_with_entries()?.is_some() {
                    let what = "what follows it was written after it, and it is not sealed";
                    return Err(Error::corrupt(&file.path, read.position, what));
                }
                self.empty.extend(rest.live.drain(..).map(|later| later.file.path));
                self.end(file, read, visible)?;
            }
        }
        Ok(())
    }

    /// Nobody can read the file: all that was in it is lost.
    fn skip_headless(
        &mut self,
        file: &HeadlessFile,
        next: Option<Csn>,
        gaps: &Gaps,
        visible: &Visible,
    ) -> Result<(), Error> {
        let HeadlessFile { path, name, bytes } = file;
        let gap =
            CsnRange { first: self.newest.csn.next(), last: Csn(name.first.0.saturating_sub(1)) };
        if gap.first <= gap.last {
            self.skip_gap(gap, path, gaps, visible)?;
        }
        let expected = self.newest.csn.next();
        let what = "both copies of the file's header are bad";
        let last = match next {
            Some(next) => Csn(next.0.saturating_sub(1)),
            None if name.first < expected => return Err(Error::corrupt(path, 0, what)),
            None => Csn(self.newest.csn.0.saturating_add(entries_in(*bytes))),
        };
        let csns = (last >= expected).then_some(CsnRange { first: expected, last });
        let hole = Hole { csns, may_hide_partitions: true, ..Hole::at(path, 0, *bytes, what) };
        self.lost_tail = next.is_none();
        self.skip(hole, visible);
        Ok(())
    }

    /// Entries are in no file. They are told as lost behind the file before them, which so stays and
    /// keeps the place; or before the first one.
    fn skip_gap(
        &mut self,
        gap: CsnRange,
        next: &str,
        gaps: &Gaps,
        visible: &Visible,
    ) -> Result<(), Error> {
        let place = self.last_file.clone().unwrap_or_else(|| (next.to_owned(), 0));
        let hole = gaps.hole(gap, &place, next)?;
        self.skip(hole, visible);
        Ok(())
    }

    /// Goes on behind entries of which nothing is left.
    fn skip(&mut self, hole: Hole, visible: &Visible) {
        if let Some(CsnRange { last, .. }) = hole.csns {
            self.newest = Newest { csn: last, entry_crc: 0, time: self.newest.time };
        }
        self.losses.add_file(&[hole], &IndexBuilder::default(), visible);
    }

    /// The newest commit that is proven durable.
    pub(super) fn proven(&self) -> Newest {
        self.tail.as_ref().map_or(self.newest, |tail| tail.proven)
    }

    /// Shows readers the proven commits of a file.
    fn add_file(
        &mut self,
        file: &JournalFile,
        read: &mut FileRead,
        visible: &Visible,
    ) -> Result<(), Error> {
        if read.proven.csn == read.before.csn {
            self.empty.push(file.path.clone());
            return Ok(());
        }
        let seal = read.seal();
        let holes = std::mem::take(&mut read.holes);
        let summary = match read.take_contents() {
            Contents::Summary(summary) => summary,
            Contents::Index(index) => {
                self.losses.add_file(&holes, &index, visible);
                let (summary, mut bytes) = index.finish(file.header.salt, file.header.first, seal);
                if !holes.is_empty() {
                    index_file::hide_summary(&mut bytes);
                }
                self.new_indexes.push(&file.path, bytes);
                summary
            }
        };
        let shown = visible.files.add(&file.path, file.header);
        shown.set_seal(seal);
        self.last_file = Some((file.path.clone(), seal.end));
        self.files += 1;
        self.bytes += seal.end;
        self.losses.find_gaps(&file.path, &summary, visible);
        visible.show_file(&shown, &summary)?;
        Losses::show_lost(&holes, visible);
        Ok(())
    }

    fn end(
        &mut self,
        file: JournalFile,
        mut read: FileRead,
        visible: &Visible,
    ) -> Result<(), Error> {
        self.add_file(&file, &mut read, visible)?;
        self.tail = Some(Tail {
            stopped: matches!(read.end, End::Sealed(_)),
            proven: read.proven,
            has_proven: read.proven.csn > read.before.csn,
            proven_end: read.proven_end(),
            whole_end: read.position,
            unproven: read.unproven,
            file,
        });
        Ok(())
    }
}

/// The files that were not read yet, in order.
struct Rest {
    live: VecDeque<Live>,
    headless: VecDeque<HeadlessFile>,
}

enum NextFile {
    Live(Live),
    Headless(HeadlessFile),
}

impl Rest {
    fn is_empty(&self) -> bool {
        self.live.is_empty() && self.headless.is_empty()
    }

    fn pop(&mut self) -> Option<NextFile> {
        let headless = self.headless.front().map(|file| place(file.name));
        match self.live.front().map(|live| place(live.file.name())) {
            Some(live) if headless.is_none_or(|headless| live < headless) => {
                self.live.pop_front().map(NextFile::Live)
            }
            _ => self.headless.pop_front().map(NextFile::Headless),
        }
    }

    /// The first entry of the next file that has any. A header that was made ahead says nothing.
    fn first_with_entries(&self) -> Result<Option<Csn>, Error> {
        let headless = self.headless.front().map(|file| file.name);
        for Live { file, .. } in &self.live {
            let is_before = headless.is_none_or(|it| place(file.name()) < place(it));
            if is_before && file.has_entries()? {
                return Ok(Some(file.header.first));
            }
        }
        Ok(headless.map(|name| name.first))
    }
}

/// Where a file stands: by its first entry, and newer files behind older ones.
fn place(name: FileName) -> (Csn, Epoch) {
    (name.first, name.epoch)
}
