//! Reads every byte of every file and tells all that is not what was written.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::dump::read_header;
use super::{is_log_file, own, paths};
use crate::entry::ENTRY_HEADER_BYTES;
use crate::file_check::FileCheck;
use crate::file_header::{FILE_HEADER_BYTES, FileHeader};
use crate::file_name::{FOLDER, INDEX_SUFFIX, SEGMENT_FOLDER, SUFFIX, index_path};
use crate::recovery::judge;
use crate::storage::Storage;
use crate::visible::Visible;
use crate::window::Window;
use crate::{Error, Hole, index_file};

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
    /// What of the log can't be read for it; None where all can.
    pub hole: Option<Hole>,
}

/// Reads all files of a directory, tells of each, and then what is wrong with all of them together.
/// Returns how many findings there were.
///
/// # Errors
/// [`Error::Locked`] while a broker has the directory; [`Error::Io`].
pub fn verify(storage: &Arc<dyn Storage>, tell: &mut dyn FnMut(FileReport)) -> Result<u64, Error> {
    let _lock = own(&**storage)?;
    let paths = paths(&**storage)?;
    let last = paths.iter().rfind(|path| path.ends_with(SUFFIX)).cloned();
    let judged = judge(storage);
    let known = judged.as_ref().map(Visible::open_holes).unwrap_or_default();
    let mut findings = 0;
    let mut tell = |report: FileReport| {
        findings += report.findings.len() as u64;
        tell(report);
    };
    for path in &paths {
        if is_log_file(path) {
            let mut report = verify_file(storage, path, Some(path) == last.as_ref())?;
            // What lost entries have cost is known where the whole log is judged.
            for finding in &mut report.findings {
                let same =
                    known.iter().find(|it| it.path == *path && it.position == finding.position);
                finding.hole = same.cloned().or_else(|| finding.hole.take());
            }
            tell(report);
        } else if path.ends_with(INDEX_SUFFIX) {
            tell(verify_index(storage, path, &paths)?);
        }
    }
    if let Err(error) = judged {
        tell(refused(error)?);
    }
    Ok(findings)
}

/// Why a broker would not start.
fn refused(error: Error) -> Result<FileReport, Error> {
    let (path, position) = match &error {
        Error::Corrupt { path, position, .. } => (path.clone(), *position),
        Error::SegmentMissing { file, .. } => (format!("{SEGMENT_FOLDER}/{file}"), 0),
        Error::JournalMissing { .. } => (FOLDER.to_owned(), 0),
        Error::Missing { path, .. }
        | Error::Foreign { path, .. }
        | Error::NewerFormat { path, .. } => (path.clone(), 0),
        _ => return Err(error),
    };
    let finding =
        Finding { path: path.clone(), position, bytes: 0, what: error.to_string(), hole: None };
    Ok(FileReport { path, entries: 0, bytes: 0, findings: Vec::from([finding]) })
}

fn verify_file(storage: &Arc<dyn Storage>, path: &str, is_last: bool) -> Result<FileReport, Error> {
    let file = storage.open(path).map_err(|error| Error::io("open", path, error))?;
    let mut window = Window::new(path, file);
    let bytes = window.zeros_from_end()?;
    let mut report = FileReport { path: path.to_owned(), entries: 0, bytes, findings: Vec::new() };
    let Some(header) = read_header(&mut window)? else {
        if bytes > FILE_HEADER_BYTES as u64 {
            let what = "both copies of the file's header are bad";
            report.push(Hole::at(path, 0, bytes, what), true);
        }
        return Ok(report);
    };
    if let Some(position) = bad_header_byte(&mut window, &header)? {
        let what = "one copy of the file's header is bad; the other one serves";
        report.push(Hole::at(path, position, 1, what), false);
    }
    let checked = FileCheck::of(&mut window, path, &header, |_, _, _| ControlFlow::Continue(()))?;
    let Some(checked) = checked else { return Ok(report) };
    report.entries = checked.entries;
    for hole in checked.holes {
        let is_torn = is_last && !checked.is_sealed && hole.position >= checked.end;
        if !is_torn {
            report.push(hole, true);
        }
    }
    if !is_last && !checked.is_sealed && checked.end + (ENTRY_HEADER_BYTES as u64) > bytes {
        report.push(Hole::at(path, checked.end, 0, "its seal is missing"), false);
    }
    Ok(report)
}

impl FileReport {
    fn push(&mut self, hole: Hole, is_loss: bool) {
        let Hole { path, position, bytes, what, .. } = hole.clone();
        let hole = is_loss.then_some(hole);
        self.findings.push(Finding { path, position, bytes, what, hole });
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
        report.push(Hole::at(path, position, 0, what), false);
    }
    Ok(report)
}
