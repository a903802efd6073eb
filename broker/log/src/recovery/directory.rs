//! The files of a directory, by their names and headers. Changes nothing.

use std::collections::HashSet;
use std::sync::Arc;

use logmill_model::{ClusterId, Csn, Epoch, ShardId};

use crate::ahead::AHEAD_PREFIX;
use crate::backup::PART_SUFFIX;
use crate::entry::{ENTRY_HEADER_BYTES, EntryHeader, Kind};
use crate::file_header::{
    DecodedFileHeader, FILE_HEADER_BYTES, FORMAT_VERSION, FileHeader, FileKind,
};
use crate::file_name::{
    FOLDER, FileName, INDEX_SUFFIX, SEGMENT_FOLDER, SEGMENT_SUFFIX, SUFFIX, SegmentName,
    TORN_SUFFIX, index_path,
};
use crate::index::{Point, PointsPlace, Summary};
use crate::known::{Claim, Known, KnownEntry};
use crate::layout::array_at;
use crate::storage::{Storage, StorageFile};
use crate::window::Window;
use crate::{Error, index_file};

/// The shard of a single node.
pub(super) const SHARD: ShardId = ShardId(0);

/// A journal file, or a segment, whose header is whole. It is opened when it is read: there may be more of them
/// than a process can have open.
#[derive(Clone)]
pub(super) struct JournalFile {
    pub(super) path: String,
    pub(super) header: FileHeader,
    storage: Arc<dyn Storage>,
}

impl JournalFile {
    fn open(&self) -> Result<Arc<dyn StorageFile>, Error> {
        self.storage.open(&self.path).map_err(|error| Error::io("open", &self.path, error))
    }

    pub(super) fn window(&self) -> Result<Window, Error> {
        Ok(Window::new(&self.path, self.open()?))
    }

    pub(super) fn bytes(&self) -> Result<u64, Error> {
        self.open()?.bytes().map_err(|error| Error::io("read", &self.path, error))
    }

    /// Whether nothing was ever written behind the header.
    pub(super) fn is_blank(&self) -> Result<bool, Error> {
        let begin = FILE_HEADER_BYTES as u64;
        Ok(self.window()?.zeros_from(begin)? == begin)
    }

    /// Points of its index; `None` unless they are those that were written.
    pub(super) fn points(&self, place: PointsPlace) -> Option<Vec<Point>> {
        index_file::read_points(&*self.storage, &self.path, place)
    }

    /// Whether anything was ever written behind the header: as a rule, what comes first tells.
    pub(super) fn has_entries(&self) -> Result<bool, Error> {
        let begin = FILE_HEADER_BYTES as u64;
        let mut window = self.window()?.in_reads_of(ENTRY_HEADER_BYTES);
        let first = window.at(begin, ENTRY_HEADER_BYTES)?;
        Ok(first.iter().any(|byte| *byte != 0) || !self.is_blank()?)
    }

    /// The seal that the file ends with; None when it does not.
    pub(super) fn seal(&self) -> Result<Option<EntryHeader>, Error> {
        let Some(seal_at) = self.bytes()?.checked_sub(ENTRY_HEADER_BYTES as u64) else {
            return Ok(None);
        };
        let bytes = self.window()?.at(seal_at, ENTRY_HEADER_BYTES)?;
        if bytes.len() < ENTRY_HEADER_BYTES {
            return Ok(None);
        }
        let decoded = EntryHeader::decode(&array_at(&bytes, 0), self.header.salt);
        Ok(decoded.ok().map(|(seal, _)| seal).filter(|seal| matches!(seal.kind, Kind::Seal(_))))
    }

    /// What its index says of it, if it is sealed and has one.
    pub(super) fn summary(&self) -> Result<Option<Summary>, Error> {
        let file = self.open()?;
        Ok(index_file::read_summary(&*self.storage, &self.path, &self.header, &*file))
    }
}

impl JournalFile {
    /// The last commit that the file had when it was sealed, if its index says so. An index is written
    /// when the seal is durable: so all of those commits were.
    pub(super) fn sealed_at(&self) -> Option<Csn> {
        let summary = index_file::read_claim(&*self.storage, &self.path, &self.header)?;
        Some(summary.seal.newest.csn)
    }
}

/// A file whose header is bad in both copies, though there is something behind it. Its salt is lost,
/// and so is all that is in it.
pub(super) struct HeadlessFile {
    pub(super) path: String,
    pub(super) name: FileName,
    pub(super) bytes: u64,
}

impl JournalFile {
    pub(super) fn name(&self) -> FileName {
        FileName { epoch: self.header.epoch, first: self.header.first }
    }
}

pub(super) struct Directory {
    /// In the order in which they were made.
    pub(super) files: Vec<JournalFile>,
    /// Segments, whether they count or not, in no order.
    pub(super) segments: Vec<JournalFile>,
    /// Journal files with entries whose header is lost, in the order in which they were made.
    pub(super) headless: Vec<HeadlessFile>,
    /// Paths of files without a header: the power went before it was durable. A journal file has
    /// nothing else either then, since entries are written only after that; what a segment has does
    /// not count.
    pub(super) blank: Vec<String>,
    /// Paths of indexes that are of no file.
    pub(super) stray_indexes: Vec<String>,
    /// The newest start that made a file.
    pub(super) epoch: Epoch,
}

impl Directory {
    pub(super) fn read(storage: &Arc<dyn Storage>) -> Result<Self, Error> {
        let listed = list(&**storage, FOLDER)?;
        check_names(FOLDER, &listed, is_of_journal)?;
        let names = names(&listed)?;
        let epoch = names.last().map_or(Epoch::ZERO, |name| name.epoch);
        let mut directory = Self {
            files: Vec::with_capacity(names.len()),
            headless: Vec::new(),
            segments: Vec::new(),
            blank: Vec::new(),
            stray_indexes: stray_indexes(FOLDER, &listed, names.iter().map(|it| it.path())),
            epoch,
        };
        for name in names {
            let FileName { first, epoch } = name;
            let expected = Expected { kind: FileKind::Journal, first, epoch };
            match read_file(storage, name.path(), expected)? {
                Found::File(file) => {
                    check_family(directory.files.first(), &file)?;
                    directory.files.push(file);
                }
                Found::Blank(path) => directory.blank.push(path),
                Found::Headless(file) => directory.headless.push(file),
            }
        }
        check_known(&directory.files, &directory.headless)?;
        directory.read_segments(storage)?;
        // A segment is made of journal files, an index is of one, and by a broker that has one.
        let of_journal = directory.segments.iter().map(|it| &it.path);
        match of_journal.chain(&directory.stray_indexes).next() {
            Some(found) if directory.files.is_empty() && directory.headless.is_empty() => {
                Err(Error::JournalMissing { found: found.clone() })
            }
            _ => Ok(directory),
        }
    }

    /// The cluster of its files, if it has any.
    pub(super) fn cluster(&self) -> Option<ClusterId> {
        self.files.first().map(|file| file.header.cluster)
    }

    /// The newest commit that something tells of: what is known from elsewhere, and indexes whose file is
    /// not there, or has nothing in it any more. An index is written when all of its file is durable.
    pub(super) fn claimed(&self, storage: &dyn Storage, known: &Known) -> Claim {
        let of_blank: Vec<String> = self.blank.iter().map(|path| index_path(path)).collect();
        let of_index = |path: &String| {
            let csn = index_file::claimed_csn(storage, path)?;
            Some(Claim { csn, told_by: format!("{path} tells of entry {csn}") })
        };
        let is_of_this = |entry: &&KnownEntry| Some(entry.cluster) == self.cluster();
        let known = known.entry.iter().filter(is_of_this).map(Claim::of);
        let claims = self.stray_indexes.iter().chain(&of_blank).filter_map(of_index).chain(known);
        claims.max_by_key(|claim| claim.csn).unwrap_or_default()
    }

    fn read_segments(&mut self, storage: &Arc<dyn Storage>) -> Result<(), Error> {
        let listed = list(&**storage, SEGMENT_FOLDER)?;
        check_names(SEGMENT_FOLDER, &listed, is_of_segments)?;
        let names = segment_names(&listed)?;
        let paths = names.iter().map(|name| name.path());
        self.stray_indexes.extend(stray_indexes(SEGMENT_FOLDER, &listed, paths));
        for name in names {
            let SegmentName { first, epoch, .. } = name;
            let expected = Expected { kind: FileKind::Segment, first, epoch };
            match read_file(storage, name.path(), expected)? {
                Found::File(file) => {
                    check_family(self.files.first(), &file)?;
                    self.segments.push(file);
                }
                Found::Blank(path) => self.blank.push(path),
                // A segment without a header is blank.
                Found::Headless(_) => {}
            }
        }
        Ok(())
    }
}

fn list(storage: &dyn Storage, folder: &str) -> Result<Vec<String>, Error> {
    match storage.list(folder) {
        // Who only looks makes no folders.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(|error| Error::io("list", folder, error)),
    }
}

/// Whether a journal file is there, whatever is in it.
pub(super) fn has_journal(storage: &dyn Storage) -> Result<bool, Error> {
    Ok(!names(&list(storage, FOLDER)?)?.is_empty())
}

/// Refuses files that no broker makes there. Hidden ones are those of file systems and editors.
fn check_names(
    folder: &str,
    listed: &[String],
    is_known: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    // A backup that stopped and was made again may have left a part of a file.
    let is_foreign = |text: &&String| {
        !text.starts_with('.') && !is_known(text.strip_suffix(PART_SUFFIX).unwrap_or(text))
    };
    match listed.iter().find(is_foreign) {
        None => Ok(()),
        Some(text) => {
            Err(Error::foreign(&format!("{folder}/{text}"), "no broker makes a file of that name"))
        }
    }
}

fn is_of_journal(text: &str) -> bool {
    let whole = text.strip_suffix(TORN_SUFFIX).unwrap_or(text);
    whole.ends_with(SUFFIX) || text.ends_with(INDEX_SUFFIX) || text.starts_with(AHEAD_PREFIX)
}

fn is_of_segments(text: &str) -> bool {
    text.ends_with(SEGMENT_SUFFIX) || text.ends_with(INDEX_SUFFIX)
}

fn segment_names(listed: &[String]) -> Result<Vec<SegmentName>, Error> {
    let texts = listed.iter().filter(|text| text.ends_with(SEGMENT_SUFFIX));
    let name = |text: &String| {
        let path = format!("{SEGMENT_FOLDER}/{text}");
        text.parse().map_err(|_| Error::foreign(&path, "no segment has such a name"))
    };
    texts.map(name).collect()
}

fn names(listed: &[String]) -> Result<Vec<FileName>, Error> {
    let mut names = Vec::with_capacity(listed.len());
    for text in listed.iter().filter(|text| text.ends_with(SUFFIX)) {
        let name = text.parse().ok().filter(|name: &FileName| name.epoch < Epoch(u64::MAX));
        let foreign =
            || Error::foreign(&format!("{FOLDER}/{text}"), "no journal file has such a name");
        names.push(name.ok_or_else(foreign)?);
    }
    names.sort_unstable();
    Ok(names)
}

/// Indexes in a folder that are of none of these files.
fn stray_indexes(
    folder: &str,
    listed: &[String],
    files: impl Iterator<Item = String>,
) -> Vec<String> {
    let known: HashSet<String> = files.map(|path| index_path(&path)).collect();
    let indexes = listed.iter().filter(|text| text.ends_with(INDEX_SUFFIX));
    let paths = indexes.map(|text| format!("{folder}/{text}"));
    paths.filter(|path| !known.contains(path)).collect()
}

enum Found {
    File(JournalFile),
    /// It has no header, and nothing else either.
    Blank(String),
    Headless(HeadlessFile),
}

/// What a file's header must say.
struct Expected {
    kind: FileKind,
    first: Csn,
    epoch: Epoch,
}

fn read_file(storage: &Arc<dyn Storage>, path: String, expected: Expected) -> Result<Found, Error> {
    let file = storage.open(&path).map_err(|error| Error::io("open", &path, error))?;
    let mut bytes = [0; FILE_HEADER_BYTES];
    let filled = file.read_at(&mut bytes, 0).map_err(|error| Error::io("read", &path, error))?;
    match FileHeader::decode(&bytes[..filled]) {
        DecodedFileHeader::Header(header) => {
            let Expected { kind, first, epoch } = expected;
            if (header.kind, header.first, header.epoch) != (kind, first, epoch) {
                return Err(Error::foreign(&path, "its header is not the one of its name"));
            }
            let storage = Arc::clone(storage);
            Ok(Found::File(JournalFile { path, header, storage }))
        }
        DecodedFileHeader::Newer(version) => {
            Err(Error::NewerFormat { path, version, newest: FORMAT_VERSION })
        }
        DecodedFileHeader::Bad if expected.kind == FileKind::Segment => Ok(Found::Blank(path)),
        DecodedFileHeader::Bad => {
            let begin = FILE_HEADER_BYTES as u64;
            let bytes = Window::new(&path, file).zeros_from(begin)?;
            // Entries are written only behind a header that is durable.
            Ok(if bytes == begin {
                Found::Blank(path)
            } else {
                let Expected { first, epoch, .. } = expected;
                Found::Headless(HeadlessFile { path, name: FileName { epoch, first }, bytes })
            })
        }
    }
}

/// Fails when all files are headless: then nothing tells whose they are.
fn check_known(files: &[JournalFile], headless: &[HeadlessFile]) -> Result<(), Error> {
    match headless.first() {
        Some(file) if files.is_empty() => Err(Error::corrupt(
            &file.path,
            0,
            "both copies of the file's header are bad, and no other file is whole",
        )),
        _ => Ok(()),
    }
}

fn check_family(first: Option<&JournalFile>, file: &JournalFile) -> Result<(), Error> {
    if file.header.shard != SHARD {
        return Err(Error::foreign(&file.path, "it is of another shard"));
    }
    let Some(first) = first else { return Ok(()) };
    if first.header.cluster != file.header.cluster {
        let what = format!(
            "it is of cluster {}, but {} is of cluster {}",
            file.header.cluster, first.path, first.header.cluster
        );
        return Err(Error::foreign(&file.path, what));
    }
    Ok(())
}
