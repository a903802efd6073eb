//! The journal files of a directory, by their names and headers. Changes nothing.

use std::collections::HashSet;
use std::sync::Arc;

use logmill_model::{Epoch, ShardId};

use crate::file_header::{
    DecodedFileHeader, FILE_HEADER_BYTES, FORMAT_VERSION, FileHeader, FileKind,
};
use crate::file_name::{FOLDER, FileName, INDEX_SUFFIX, SUFFIX, index_path};
use crate::index::Summary;
use crate::storage::{Storage, StorageFile};
use crate::window::Window;
use crate::{Error, index_file};

/// The shard of a single node.
pub(super) const SHARD: ShardId = ShardId(0);

/// A journal file whose header is whole. It is opened when it is read: there may be more of them
/// than a process can have open.
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

    /// Whether nothing was ever written behind the header.
    pub(super) fn is_blank(&self) -> Result<bool, Error> {
        let begin = FILE_HEADER_BYTES as u64;
        Ok(self.window()?.zeros_from(begin)? == begin)
    }

    /// What its index says of it, if it is sealed and has one.
    pub(super) fn summary(&self) -> Result<Option<Summary>, Error> {
        let file = self.open()?;
        Ok(index_file::read_summary(&*self.storage, &self.path, &self.header, &*file))
    }
}

pub(super) struct Directory {
    /// In the order in which they were made.
    pub(super) files: Vec<JournalFile>,
    /// Paths of files without a header, and without anything else: the power went before it was
    /// durable, and entries are written only after that.
    pub(super) blank: Vec<String>,
    /// Paths of indexes that are of no file.
    pub(super) stray_indexes: Vec<String>,
    /// The newest start that made a file.
    pub(super) epoch: Epoch,
}

impl Directory {
    pub(super) fn read(storage: &Arc<dyn Storage>) -> Result<Self, Error> {
        let listed = storage.list(FOLDER).map_err(|error| Error::io("list", FOLDER, error))?;
        let names = names(&listed)?;
        let epoch = names.last().map_or(Epoch::ZERO, |name| name.epoch);
        let mut files: Vec<JournalFile> = Vec::with_capacity(names.len());
        let mut blank = Vec::new();
        for name in &names {
            match read_file(storage, *name)? {
                Found::File(file) => {
                    check_family(files.first(), &file)?;
                    files.push(file);
                }
                Found::Blank(path) => blank.push(path),
            }
        }
        Ok(Self { files, blank, stray_indexes: stray_indexes(&listed, &names), epoch })
    }
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

fn stray_indexes(listed: &[String], names: &[FileName]) -> Vec<String> {
    let known: HashSet<String> = names.iter().map(|name| index_path(&name.path())).collect();
    let indexes = listed.iter().filter(|text| text.ends_with(INDEX_SUFFIX));
    let paths = indexes.map(|text| format!("{FOLDER}/{text}"));
    paths.filter(|path| !known.contains(path)).collect()
}

enum Found {
    File(JournalFile),
    /// It has no header, and nothing else either.
    Blank(String),
}

fn read_file(storage: &Arc<dyn Storage>, name: FileName) -> Result<Found, Error> {
    let path = name.path();
    let file = storage.open(&path).map_err(|error| Error::io("open", &path, error))?;
    let mut bytes = [0; FILE_HEADER_BYTES];
    let filled = file.read_at(&mut bytes, 0).map_err(|error| Error::io("read", &path, error))?;
    match FileHeader::decode(&bytes[..filled]) {
        DecodedFileHeader::Header(header) => {
            if header.kind != FileKind::Journal {
                return Err(Error::foreign(&path, "it is a segment"));
            }
            if (header.first, header.epoch) != (name.first, name.epoch) {
                return Err(Error::foreign(&path, "its header is not the one of its name"));
            }
            let storage = Arc::clone(storage);
            Ok(Found::File(JournalFile { path, header, storage }))
        }
        DecodedFileHeader::Newer(version) => {
            Err(Error::NewerFormat { path, version, newest: FORMAT_VERSION })
        }
        DecodedFileHeader::Bad => {
            let begin = FILE_HEADER_BYTES as u64;
            if Window::new(&path, file).zeros_from(begin)? == begin {
                Ok(Found::Blank(path))
            } else {
                Err(Error::corrupt(&path, 0, "both copies of the file's header are bad"))
            }
        }
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
