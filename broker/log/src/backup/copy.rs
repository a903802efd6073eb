//! Copying one file of the log, entry by entry, each verified.

use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;
use logmill_model::Csn;

use super::{Copied, Target};
use crate::Error;
use crate::active_file::{Newest, mark};
use crate::entry::{EntryHeader, Head, Kind, SealReason};
use crate::file_header::FILE_HEADER_BYTES;
use crate::files::Files;
use crate::log_file::LogFile;
use crate::storage::{Storage, StorageFile, SyncSite};
use crate::window::{CHUNK_BYTES, Window};

/// What the name of a file ends with until it is whole.
pub(crate) const PART_SUFFIX: &str = ".part";

/// Copies a sealed file; returns its length.
pub(super) fn sealed(
    files: &Files,
    file: &Arc<LogFile>,
    target: &Target,
    copied: &mut Copied,
) -> Result<u64, Error> {
    let mut source = Source::open(files, file)?;
    let length = file.sealed_bytes();
    if is_there(&mut source, target, length)? {
        verify(&mut source, length)?;
    } else {
        let mut part = Part::create(target, &file.path)?;
        part.write(&source.header()?)?;
        while source.position < length {
            let (_, entry) = source.next()?;
            part.write(&entry)?;
        }
        copied.copied_bytes += part.finish(target)?;
    }
    copied.files.push((file.path.clone(), length));
    Ok(length)
}

/// Copies the file that is being written, up to the commit `until`, and seals the copy there.
/// `newest` is the last commit of the files before it.
pub(super) fn growing(
    source: &mut Source<'_>,
    (mut newest, until): (Newest, Csn),
    target: &Target,
    copied: &mut Copied,
) -> Result<(), Error> {
    let mut part = Part::create(target, &source.file.path)?;
    part.write(&source.header()?)?;
    while let Some(head) = source.peek(newest.csn >= until)? {
        let EntryHeader { kind, csn, prev_crc, time, .. } = head.header;
        newest = match kind {
            Kind::Commit if csn > until => break,
            Kind::Commit => Newest { csn, entry_crc: head.entry_crc, time },
            Kind::Seal(_) => break,
            // A mark repeats the commit before it.
            _ => Newest { csn, entry_crc: prev_crc, time },
        };
        part.write(&source.next()?.1)?;
    }
    let header = &source.file.header;
    part.write(&mark(Kind::Seal(SealReason::Stopped), newest, newest.csn, header))?;
    let length = part.finish(target)?;
    copied.copied_bytes += length;
    copied.files.push((source.file.path.clone(), length));
    Ok(())
}

/// Copies a file that nothing is known of.
pub(super) fn as_it_is(from: &dyn Storage, to: &dyn Storage, path: &str) -> io::Result<()> {
    let source = from.open(path)?;
    let (mut position, length) = (0, source.bytes()?);
    match to.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = to.create(path)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    while position < length {
        let filled = source.read_at(&mut buffer, position)?;
        if filled == 0 {
            break;
        }
        file.write_at(&[IoSlice::new(&buffer[..filled])], position)?;
        position += filled as u64;
    }
    Ok(())
}

/// A file of the log, read from front to back.
pub(super) struct Source<'a> {
    file: &'a LogFile,
    window: Window,
    position: u64,
}

impl<'a> Source<'a> {
    pub(super) fn open(files: &Files, file: &'a Arc<LogFile>) -> Result<Self, Error> {
        let window = file.window(files.open(file)?);
        Ok(Self { file, window, position: FILE_HEADER_BYTES as u64 })
    }

    /// The file's header: its checksum was checked when the log was opened, and it is the same.
    fn header(&mut self) -> Result<Bytes, Error> {
        let bytes = self.window.at(0, FILE_HEADER_BYTES)?;
        let header = self.file.header.encode();
        match bytes.get(..FILE_HEADER_BYTES) {
            Some(found) if found == header.as_slice() => Ok(bytes.slice(..FILE_HEADER_BYTES)),
            _ => Err(Error::corrupt(&self.file.path, 0, "the file's header has changed")),
        }
    }

    /// The head of the next entry. Where `may_end`, what is not one is the end: it is being written.
    fn peek(&mut self, may_end: bool) -> Result<Option<Head>, Error> {
        match self.window.head(self.position, self.file.header.salt)? {
            Ok(head) => Ok(Some(head)),
            Err(_) if may_end => Ok(None),
            Err(what) => Err(Error::corrupt(&self.file.path, self.position, what)),
        }
    }

    /// The next entry, whole.
    fn next(&mut self) -> Result<(Head, Bytes), Error> {
        let corrupt = |what: String| Error::corrupt(&self.file.path, self.position, what);
        let head = self.window.head(self.position, self.file.header.salt)?;
        let head = head.map_err(|what| corrupt(what.to_owned()))?;
        let length = head.header.length as usize;
        let entry = self.window.at(self.position, length)?;
        if entry.len() < length {
            return Err(corrupt("the file ends within the entry".to_owned()));
        }
        let entry = entry.slice(..length);
        if matches!(head.header.kind, Kind::Commit | Kind::Block) {
            head.batches(&entry).map_err(corrupt)?;
        }
        self.position += length as u64;
        Ok((head, entry))
    }
}

/// Whether the target has the same bytes.
fn is_there(source: &mut Source<'_>, target: &Target, length: u64) -> Result<bool, Error> {
    let path = &source.file.path;
    let Ok(there) = target.storage().open(path) else { return Ok(false) };
    if there.bytes().ok() != Some(length) {
        return Ok(false);
    }
    let mut there = Window::new(path, there);
    let mut position = 0;
    while position < length {
        let wanted = CHUNK_BYTES.min(usize::try_from(length - position).unwrap_or(CHUNK_BYTES));
        let (mine, found) = (source.window.at(position, wanted)?, there.at(position, wanted)?);
        if mine.get(..wanted).is_none() || mine.get(..wanted) != found.get(..wanted) {
            return Ok(false);
        }
        position += wanted as u64;
    }
    Ok(true)
}

fn verify(source: &mut Source<'_>, length: u64) -> Result<(), Error> {
    source.header()?;
    while source.position < length {
        source.next()?;
    }
    Ok(())
}

/// A file of the target until it is whole.
struct Part {
    path: String,
    file: Arc<dyn StorageFile>,
    position: u64,
    waiting: Vec<u8>,
}

impl Part {
    fn create(target: &Target, path: &str) -> Result<Self, Error> {
        let (storage, part) = (target.storage(), format!("{path}{PART_SUFFIX}"));
        match storage.remove(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &part, error));
            }
            _ => {}
        }
        let file = storage.create(&part).map_err(|error| Error::io("create", &part, error))?;
        Ok(Self { path: path.to_owned(), file, position: 0, waiting: Vec::new() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.file
            .write_at(&[IoSlice::new(&self.waiting)], self.position)
            .map_err(|error| Error::io("write", &self.path, error))?;
        self.position += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    /// Makes the file durable under its name, but for the folder; returns its length.
    fn finish(mut self, target: &Target) -> Result<u64, Error> {
        self.flush()?;
        let path = &self.path;
        self.file
            .sync(SyncSite::BACKUP)
            .map_err(|error| Error::sync(SyncSite::BACKUP, path, error))?;
        target
            .storage()
            .rename(&format!("{path}{PART_SUFFIX}"), path)
            .map_err(|error| Error::io("rename", path, error))?;
        Ok(self.position)
    }
}
