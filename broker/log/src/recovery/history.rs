//! Reads all that is live, in order, and finds where it ends. Changes nothing on disk.

use logmill_model::Csn;

use super::directory::JournalFile;
use super::evidence::proof_of_durability;
use super::placed::Placed;
use super::plan::Live;
use super::scan::{Next, Scan};
use crate::active_file::Newest;
use crate::entry::{Kind, SealReason};
use crate::visible::Visible;
use crate::{Entry, Error};

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
    /// Files with commits, and their bytes.
    pub(super) files: u64,
    pub(super) bytes: u64,
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
    pub(super) unproven: Vec<Placed>,
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

/// How a file ends.
enum End {
    Sealed(SealReason),
    /// A newer file replaces what follows.
    Replaced {
        sealed: bool,
    },
    /// Nothing whole follows.
    Bad(String),
}

/// What was read of one file.
struct FileRead {
    commits: Vec<Placed>,
    end: End,
    position: u64,
    newest: Newest,
    durable_csn: Csn,
}

type OnEntry<'a> = &'a mut dyn FnMut(&Entry) -> Result<(), Error>;

impl History {
    /// Reads the live files, giving each entry to `on_entry`, and shows readers what is proven.
    pub(super) fn read(
        live: Vec<Live>,
        visible: &Visible,
        on_entry: OnEntry<'_>,
    ) -> Result<Self, Error> {
        let mut history = Self::default();
        let mut live = live.into_iter();
        while let Some(Live { file, until }) = live.next() {
            check_first(&file, history.newest)?;
            let before = history.newest;
            let read = read_file(&file, until, before, on_entry)?;
            history.newest = read.newest;
            match &read.end {
                End::Replaced { sealed } => {
                    history.add_file(&file.path, &read.commits, read.position, visible)?;
                    if !sealed {
                        let (newest, position) = (read.newest, read.position);
                        history.unsealed.push(Unsealed { file, newest, position });
                    }
                }
                End::Sealed(SealReason::Stopped) if live.len() == 0 => {
                    history.end(file, read, before, visible)?;
                }
                End::Sealed(_) if live.len() == 0 => {
                    let what = "the file is sealed, and the next one is missing";
                    return Err(Error::corrupt(&file.path, read.position, what));
                }
                End::Sealed(_) => {
                    history.add_file(&file.path, &read.commits, read.position, visible)?;
                }
                End::Bad(what) => {
                    check_torn(&file, &read, what)?;
                    for later in live.by_ref() {
                        history.skip_blank(later.file, &file, &read)?;
                    }
                    history.end(file, read, before, visible)?;
                }
            }
        }
        Ok(history)
    }

    fn add_file(
        &mut self,
        path: &str,
        commits: &[Placed],
        bytes: u64,
        visible: &Visible,
    ) -> Result<(), Error> {
        if commits.is_empty() {
            self.empty.push(path.to_owned());
            return Ok(());
        }
        let id = visible.files.add(path);
        self.files += 1;
        self.bytes += bytes;
        commits.iter().try_for_each(|commit| commit.show(visible, id, commit.position))
    }

    /// The next file's header was made ahead, and nothing was written to it: this one is the last.
    fn skip_blank(
        &mut self,
        later: JournalFile,
        last: &JournalFile,
        read: &FileRead,
    ) -> Result<(), Error> {
        if !later.is_blank()? {
            let what = format!("its seal is missing, though {} was written after it", later.path);
            return Err(Error::corrupt(&last.path, read.position, what));
        }
        self.empty.push(later.path);
        Ok(())
    }

    fn end(
        &mut self,
        file: JournalFile,
        read: FileRead,
        before: Newest,
        visible: &Visible,
    ) -> Result<(), Error> {
        let mut proven = read.commits;
        let count = proven.partition_point(|commit| commit.newest.csn <= read.durable_csn);
        let unproven = proven.split_off(count);
        let proven_end = unproven.first().map_or(read.position, |commit| commit.position);
        let tail = Tail {
            stopped: matches!(read.end, End::Sealed(_)),
            proven: proven.last().map_or(before, |commit| commit.newest),
            has_proven: !proven.is_empty(),
            unproven,
            proven_end,
            whole_end: read.position,
            file,
        };
        self.add_file(&tail.file.path, &proven, proven_end, visible)?;
        self.tail = Some(tail);
        Ok(())
    }
}

fn check_first(file: &JournalFile, newest: Newest) -> Result<(), Error> {
    let (first, expected) = (file.header.first, newest.csn.next());
    if first > expected {
        let what = format!("entries {expected} to before {first} are missing: a file is gone");
        return Err(Error::corrupt(&file.path, 0, what));
    }
    if first < expected {
        let what = format!("it begins at entry {first}, which an older file has");
        return Err(Error::foreign(&file.path, what));
    }
    Ok(())
}

fn read_file(
    file: &JournalFile,
    until: Option<Csn>,
    before: Newest,
    on_entry: OnEntry<'_>,
) -> Result<FileRead, Error> {
    let mut scan = Scan::new(file, before);
    let mut commits = Vec::new();
    let end = loop {
        if until == Some(scan.newest().csn.next()) {
            break End::Replaced { sealed: is_sealed(&mut scan)? };
        }
        match scan.next()? {
            Next::Commit(commit) => {
                on_entry(&commit.entry)?;
                commits.push(commit.placed);
            }
            Next::Mark(Kind::Seal(reason)) => break End::Sealed(reason),
            Next::Mark(_) => {}
            Next::Bad(what) => break End::Bad(what),
        }
    };
    if let Some(until) = until
        && !matches!(end, End::Replaced { .. })
    {
        let next = scan.newest().csn.next();
        let what = format!("entries {next} to before {until} are missing");
        return Err(Error::corrupt(&file.path, scan.position(), what));
    }
    Ok(FileRead {
        commits,
        end,
        position: scan.position(),
        newest: scan.newest(),
        durable_csn: scan.durable_csn(),
    })
}

/// Reads the marks behind the last live commit of a file.
fn is_sealed(scan: &mut Scan<'_>) -> Result<bool, Error> {
    loop {
        match scan.peek()? {
            Some(Kind::Seal(_)) => return Ok(true),
            Some(Kind::Checkpoint | Kind::Recovered) => _ = scan.next()?,
            Some(Kind::Commit | Kind::Block | Kind::Coverage) | None => return Ok(false),
        }
    }
}

/// What is bad at the end of the last file may be cut off only if it can have been torn.
fn check_torn(file: &JournalFile, read: &FileRead, what: &str) -> Result<(), Error> {
    let expected = read.newest.csn.next();
    let proof = if expected <= read.durable_csn {
        Some("an entry before it says it was durable".to_owned())
    } else {
        proof_of_durability(file, read.position, expected)?
    };
    match proof {
        None => Ok(()),
        Some(proof) => {
            let what = format!("entry {expected} should be here: {what}, and {proof}");
            Err(Error::corrupt(&file.path, read.position, what))
        }
    }
}
