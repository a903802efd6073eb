//! Reads every byte of every file and tells all that is not what was written.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::dump::read_header;
use super::expect::expect_all;
use super::{is_log_file, own, paths};
use crate::backup::INCOMPLETE;
use crate::entry::ENTRY_HEADER_BYTES;
use crate::file_check::FileCheck;
use crate::file_header::{FILE_HEADER_BYTES, FileHeader};
use crate::file_name::{FOLDER, INDEX_SUFFIX, SEGMENT_FOLDER, SUFFIX, index_path};
use crate::recovery::{Missing, judge};
use crate::storage::Storage;
use crate::window::Window;
use crate::{Error, Hole, Known, Log, index_file};

/// What one file holds, and what is wrong in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// The file.
    pub path: String,
    /// Its whole entries.
    pub entries: u64,
    /// Its length, without what was only allocated.
    pub bytes: u64,
    /// What is wrong, by place.
    pub findings: Vec<Finding>,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, or where it should be.
    pub path: String,
    /// Where in it.
    pub position: u64,
    /// How many bytes it concerns.
    pub bytes: u64,
    /// What is wrong.
    pub what: String,
    /// What it costs.
    pub cost: Cost,
    /// What of the log can't be read for it; None where all can.
    pub hole: Option<Hole>,
}

/// What a finding costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Something can't be read.
    Loss,
    /// No broker starts on the directory, and no loss that could be accepted is why: the finding says what
    /// helps.
    Refused,
    /// A loss that somebody has accepted.
    Accepted,
    /// Nothing that is known to have been durable: it is what a power cut leaves at the end of the journal.
    Torn,
    /// Nothing: what is bad is there twice, or can be made anew.
    Nothing,
}

/// Reads all files of a directory, tells of each, and then what is wrong with all of them together.
/// Returns how many findings there were that nobody has accepted. `known` is what is known from elsewhere.
///
/// # Errors
/// [`Error::Locked`] while a broker has the directory; [`Error::Io`].
pub fn verify(
    storage: &Arc<dyn Storage>,
    known: &Known,
    tell: &mut dyn FnMut(FileReport),
) -> Result<u64, Error> {
    let _lock = own(&**storage)?;
    let paths = paths(&**storage)?;
    let last = paths.iter().rfind(|path| path.ends_with(SUFFIX)).cloned();
    let judged = judged(storage, known);
    let mut findings = 0;
    let mut tell = |report: FileReport| {
        let counts = |it: &&Finding| !matches!(it.cost, Cost::Accepted | Cost::Torn);
        findings += report.findings.iter().filter(counts).count() as u64;
        tell(report);
    };
    let mut changed = known.changed_files(&**storage)?;
    for path in &paths {
        if is_log_file(path) {
            let mut report = verify_file(storage, path, Some(path) == last.as_ref())?;
            if let Ok(judged) = &judged {
                report.add_judged(judged);
            }
            let of_this = changed.extract_if(.., |(changed, _, _)| path == changed);
            of_this.for_each(|changed| report.add_changed(changed));
            tell(report);
        } else if path.ends_with(INDEX_SUFFIX) {
            tell(verify_index(storage, path, &paths)?);
        }
    }
    for file in changed {
        let (path, entries, bytes) = (file.0.to_owned(), 0, file.1);
        let mut report = FileReport { path, entries, bytes, findings: Vec::new() };
        report.add_changed(file);
        tell(report);
    }
    if let Err(error) = judged {
        tell(refused(error)?);
    }
    Ok(findings)
}

/// The log as a broker would find it; where it would not start since files are missing, as it would after
/// that was accepted.
fn judged(storage: &Arc<dyn Storage>, known: &Known) -> Result<Log, Error> {
    let log = match judge(storage, known, Missing::Refused) {
        Err(error) if error.is_missing() => judge(storage, known, Missing::Accepted)?,
        judged => judged?,
    };
    expect_all(&log, &known.catalog)?;
    Ok(log)
}

/// Why a broker would not start.
fn refused(error: Error) -> Result<FileReport, Error> {
    let (path, position) = match &error {
        Error::Corrupt { path, position, .. } => (path.clone(), *position),
        Error::SegmentMissing { file, .. } => (format!("{SEGMENT_FOLDER}/{file}"), 0),
        Error::JournalMissing { .. } => (FOLDER.to_owned(), 0),
        Error::IncompleteBackup { .. } => (INCOMPLETE.to_owned(), 0),
        Error::Missing { path, .. }
        | Error::Foreign { path, .. }
        | Error::NewerFormat { path, .. } => (path.clone(), 0),
        _ => return Err(error),
    };
    let mut report = FileReport { path, entries: 0, bytes: 0, findings: Vec::new() };
    report.push(Hole::at(&report.path, position, 0, error.to_string()), Cost::Refused);
    Ok(report)
}

fn verify_file(storage: &Arc<dyn Storage>, path: &str, is_last: bool) -> Result<FileReport, Error> {
    let file = storage.open(path).map_err(|error| Error::io("open", path, error))?;
    let mut window = Window::new(path, file);
    let bytes = window.zeros_from_end()?;
    let mut report = FileReport { path: path.to_owned(), entries: 0, bytes, findings: Vec::new() };
    let Some(header) = read_header(&mut window)? else {
        if bytes > FILE_HEADER_BYTES as u64 {
            let what = "both copies of the file's header are bad";
            report.push_hole(Hole::at(path, 0, bytes, what));
        } else if bytes > 0 && path.ends_with(SUFFIX) {
            let what = "it has no header and nothing behind one: it was cut off as it was made, or is none of ours; a start keeps what is in it beside";
            report.push(Hole::at(path, 0, bytes, what), Cost::Nothing);
        }
        return Ok(report);
    };
    if let Some(position) = bad_header_byte(&mut window, &header)? {
        let what =
            "one copy of the file's header is bad; the other one serves, and a backup has both";
        report.push(Hole::at(path, position, 1, what), Cost::Nothing);
    }
    let checked = FileCheck::of(&mut window, path, &header, |_, _, _| ControlFlow::Continue(()))?;
    let Some(checked) = checked else { return Ok(report) };
    report.entries = checked.entries;
    let mut is_ended = checked.is_sealed || is_last;
    for hole in checked.holes {
        let is_at_end = !checked.is_sealed && hole.position >= checked.end;
        match is_last && is_at_end {
            false => report.push_hole(hole),
            true if bytes > hole.position => {
                let what = "no whole entry follows, and nothing says that what there is was durable: a start cuts it off and keeps it beside";
                report.push(Hole { what: what.to_owned(), ..hole }, Cost::Torn);
            }
            true => {}
        }
        is_ended |= is_at_end;
    }
    if !is_ended && checked.end + (ENTRY_HEADER_BYTES as u64) > bytes {
        report.push(Hole::at(path, checked.end, 0, "its seal is missing"), Cost::Nothing);
    }
    Ok(report)
}

impl FileReport {
    fn push(&mut self, at: Hole, cost: Cost) {
        let Hole { path, position, bytes, what, .. } = at;
        self.findings.push(Finding { path, position, bytes, what, cost, hole: None });
    }

    fn push_hole(&mut self, hole: Hole) {
        self.push(hole.clone(), Cost::Loss);
        if let Some(last) = self.findings.last_mut() {
            last.hole = Some(hole);
        }
    }

    fn add_changed(&mut self, (path, bytes, expected): (&str, u64, u64)) {
        let what = format!("it has {bytes} of the {expected} bytes that backup.json says");
        self.push(Hole::at(path, bytes.min(expected), 0, what), Cost::Loss);
    }

    /// Adds what is known where the whole log is judged: what lost entries have cost, what was
    /// accepted, and where entries are in no file.
    fn add_judged(&mut self, judged: &Log) {
        let path = self.path.clone();
        for known in judged.holes().into_iter().filter(|hole| hole.path == path) {
            match self.findings.iter_mut().find(|it| it.position == known.position) {
                Some(it) => {
                    if it.cost == Cost::Torn {
                        // It was durable after all.
                        it.what.clone_from(&known.what);
                    }
                    it.hole = Some(Hole { bytes: known.bytes.max(it.bytes), ..known });
                }
                None => self.push_hole(known),
            }
        }
        for finding in &mut self.findings {
            if let Some(hole) = &finding.hole {
                let is_accepted = judged.is_accepted(hole);
                finding.cost = if is_accepted { Cost::Accepted } else { Cost::Loss };
            }
        }
        self.findings.sort_by_key(|it| it.position);
    }
}

/// The first byte of a file's first page that is not what its header says.
fn bad_header_byte(window: &mut Window, header: &FileHeader) -> Result<Option<u64>, Error> {
    let bytes = window.at(0, FILE_HEADER_BYTES)?;
    let mut pairs = bytes.iter().zip(header.encode());
    Ok(pairs.position(|(a, b)| *a != b).map(|at| at as u64))
}

fn verify_index(
    storage: &Arc<dyn Storage>,
    path: &str,
    paths: &[String],
) -> Result<FileReport, Error> {
    let opened = storage.open(path);
    let file = opened.map_err(|error: io::Error| Error::io("open", path, error))?;
    let bytes = file.bytes().map_err(|error| Error::io("read", path, error))?;
    let mut report = FileReport { path: path.to_owned(), entries: 0, bytes, findings: Vec::new() };
    let owner = paths.iter().find(|it| is_log_file(it) && index_path(it) == path);
    let Some(owner) = owner else { return Ok(report) };
    let opened = storage.open(owner);
    let owner_file = opened.map_err(|error| Error::io("open", owner, error))?;
    let header = read_header(&mut Window::new(owner, Arc::clone(&owner_file)))?;
    let Some(header) = header else { return Ok(report) };
    if let Some(position) = index_file::first_bad(&**storage, owner, &header, &*owner_file) {
        let what = "the index is bad; it is made anew when it is needed";
        report.push(Hole::at(path, position, 0, what), Cost::Nothing);
    }
    Ok(report)
}
