//! Small files that only their owner may read: written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::{Error, limits};

const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
const OTHERS: u32 = 0o077;

/// Refuses what is there and is no directory.
pub(crate) fn check_directory(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(_) if !path.is_dir() => {
            let what = "is no folder, and the broker needs one there; move it elsewhere";
            Err(Error::content(path, what))
        }
        _ => Ok(()),
    }
}

/// Makes a directory, and those above it, for its owner only. One that exists stays as it is.
pub(crate) fn create_directory(path: &Path) -> Result<(), Error> {
    path.ancestors().try_for_each(check_directory)?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
        .map_err(|cause| Error::file("create", path, cause))
}

/// Writes a file under a temporary name, syncs it, and renames it into place, so that a reader
/// and a crash see the old content or the new, never a part.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let fail = |cause| Error::file("write", path, cause);
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = Path::new(&temporary);
    // One that a crash left may have another mode.
    match fs::remove_file(temporary) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(fail(cause)),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(temporary)
        .map_err(fail)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(fail)?;
    fs::rename(temporary, path).map_err(fail)?;
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(fail)
}

/// Reads a file that holds a secret; None when it is not there.
///
/// # Errors
/// [`Error::Readable`] when others could have read it too.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            Err(Error::content(path, "is a folder where a file should be; move it elsewhere"))
        }
        Ok(metadata) => {
            let mode = metadata.permissions().mode() & 0o7777;
            if mode & OTHERS != 0 {
                return Err(Error::Readable { path: path.to_owned(), mode });
            }
            read_public(path).map(Some)
        }
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Error::file("read", path, cause)),
    }
}

/// Reads a small text file that anybody may see.
pub(crate) fn read_public(path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(limits::SMALL_FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|cause| Error::file("read", path, cause))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_and_directories_are_their_owners_alone() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("a/b");
        create_directory(&directory).unwrap();
        assert_eq!((mode(&root.path().join("a")), mode(&directory)), (0o700, 0o700));
        let file = directory.join("secret");
        // Left by a crash, with a mode that would leak.
        let stale = directory.join("secret.new");
        fs::write(&stale, "half").unwrap();
        fs::set_permissions(&stale, fs::Permissions::from_mode(0o644)).unwrap();
        for content in ["one", "two"] {
            write(&file, content.as_bytes()).unwrap();
            assert_eq!((mode(&file), read(&file).unwrap().as_deref()), (0o600, Some(content)));
        }
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("secret");
        assert_eq!(read(&file).unwrap(), None);
        write(&file, b"x").unwrap();
        for bad in [0o640, 0o604, 0o660] {
            fs::set_permissions(&file, fs::Permissions::from_mode(bad)).unwrap();
            let text = read(&file).unwrap_err().to_string();
            assert!(text.contains(&format!("{bad:o}")) && text.contains("chmod 600"), "{text}");
        }
    }
}
