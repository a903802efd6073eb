//! Copying one file of the log.

use std::io::{self, IoSlice};
use std::sync::Arc;

use logmill_model::Csn;

use super::source::{Source, Step};
use super::{Copied, Target};
use crate::Error;
use crate::active_file::{Newest, mark};
use crate::entry::{EntryHeader, Kind, SealReason};
use crate::log_file::LogFile;
use crate::storage::{Storage, StorageFile, SyncSite};
use crate::visible::Visible;
use crate::window::{CHUNK_BYTES, Window};

/// What the name of a file ends with until it is whole.
pub(crate) const PART_SUFFIX: &str = ".part";

/// Copies a sealed file; returns its length.
pub(super) fn sealed(
    visible: &Visible,
    file: &Arc<LogFile>,
    target: &Target,
    copied: &mut Copied,
) -> Result<u64, Error> {
    let path = &file.path;
    let part = format!("{path}{PART_SUFFIX}");
    let length = if let Some(length) = length_there(visible, file, target, path)? {
        length
    } else if let Some(length) = length_there(visible, file, target, &part)? {
        // An earlier backup did not get to its end.
        target.add(path)?;
        length
    } else {
        let mut part = Part::create(target, path)?;
        Source::open(visible, file)?.all(&mut |bytes| part.write(bytes).map(|()| true))?;
        let length = part.finish(target)?;
        copied.copied_bytes += length;
        length
    };
    copied.files.push((file.path.clone(), length));
    Ok(length)
}

/// Copies the file that is being written, up to the commit `until`, and seals the copy there.
/// `newest` is the last commit of the files before it.
pub(super) fn growing(
    visible: &Visible,
    file: &Arc<LogFile>,
    (mut newest, until): (Newest, Csn),
    target: &Target,
    copied: &mut Copied,
) -> Result<(), Error> {
    let mut source = Source::open(visible, file)?;
    let mut part = Part::create(target, &file.path)?;
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
        source.step(&mut |bytes| part.write(bytes).map(|()| true))?;
    }
    part.write(&mark(Kind::Seal(SealReason::Stopped), newest, newest.csn, &file.header))?;
    let length = part.finish(target)?;
    copied.copied_bytes += length;
    copied.files.push((file.path.clone(), length));
    Ok(())
}

/// Copies a file that nobody can read, as it is.
pub(super) fn headless(
    from: &dyn Storage,
    path: &str,
    target: &Target,
    copied: &mut Copied,
) -> Result<(), Error> {
    let file = from.open(path).map_err(|error| Error::io("open", path, error))?;
    let mut window = Window::new(path, file);
    let mut part = Part::create(target, path)?;
    let mut position = 0;
    loop {
        let bytes = window.at(position, CHUNK_BYTES)?;
        if bytes.is_empty() {
            break;
        }
        part.write(&bytes)?;
        position += bytes.len() as u64;
    }
    let length = part.finish(target)?;
    copied.copied_bytes += length;
    copied.files.push((path.to_owned(), length));
    Ok(())
}

/// Copies a file that nothing is known of, to its part. That is not durable.
pub(super) fn as_it_is(from: &dyn Storage, to: &dyn Storage, path: &str) -> io::Result<()> {
    let source = from.open(path)?;
    let (mut position, length) = (0, source.bytes()?);
    let file = create_anew(to, &format!("{path}{PART_SUFFIX}"))?;
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

/// The length of what the target has at `path`, if those are the bytes that a copy would have; it is
/// durable then.
fn length_there(
    visible: &Visible,
    file: &Arc<LogFile>,
    target: &Target,
    path: &str,
) -> Result<Option<u64>, Error> {
    let Ok(there) = target.storage().open(path) else { return Ok(None) };
    let Ok(length) = there.bytes() else { return Ok(None) };
    let mut window = Window::new(path, Arc::clone(&there));
    let mut position = 0;
    let last = Source::open(visible, file)?.all(&mut |bytes| {
        let found = window.at(position, bytes.len())?;
        position += bytes.len() as u64;
        Ok(found.get(..bytes.len()) == Some(bytes))
    })?;
    if last == Step::Enough || position != length {
        return Ok(None);
    }
    there.sync(SyncSite::BACKUP).map_err(|error| Error::sync(SyncSite::BACKUP, path, error))?;
    Ok(Some(length))
}

/// A file of the target until it is whole.
struct Part {
    path: String,
    file: Arc<dyn StorageFile>,
    position: u64,
    waiting: Vec<u8>,
}

/// Makes a file, in place of one that is there.
pub(super) fn create_anew(storage: &dyn Storage, path: &str) -> io::Result<Arc<dyn StorageFile>> {
    match storage.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => storage.create(path),
    }
}

impl Part {
    fn create(target: &Target, path: &str) -> Result<Self, Error> {
        let part = format!("{path}{PART_SUFFIX}");
        let file = create_anew(target.storage(), &part);
        let file = file.map_err(|error| Error::io("create", &part, error))?;
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

    /// Makes the file durable, but for its name; returns its length.
    fn finish(mut self, target: &Target) -> Result<u64, Error> {
        self.flush()?;
        let path = &self.path;
        self.file
            .sync(SyncSite::BACKUP)
            .map_err(|error| Error::sync(SyncSite::BACKUP, path, error))?;
        target.add(path)?;
        Ok(self.position)
    }
}
