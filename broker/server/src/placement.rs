//! Whether what lies in a data directory is of the kind that the server needs there: asked before
//! anything is changed. The log asks the same of its own folders.

use std::path::Path;

use crate::config::{Certificate, Settings, Tokens};
use crate::identity::Identity;
use crate::server::{CONNECTION_FILE, DIRECTORY, IDENTITY_FILE, TOKEN_FILE};
use crate::token::TokenSet;
use crate::{Error, private_file};

/// Folders of the data directory that are nobody's but the broker's.
const FOLDERS: [&str; 3] = ["modules", "cache", DIRECTORY];

/// Checks what is there; what is missing will be made.
pub(crate) fn check(settings: &Settings) -> Result<(), Error> {
    for name in FOLDERS {
        private_file::check_directory(&settings.data.join(name))?;
    }
    let connection = settings.data.join(CONNECTION_FILE);
    if connection.is_dir() {
        let what = "is a folder where the broker writes a file; move it elsewhere";
        return Err(Error::content(&connection, what));
    }
    let directory = settings.data.join(DIRECTORY);
    match &settings.certificate {
        Certificate::Made => if_there(&directory.join(IDENTITY_FILE), Identity::made)?,
        Certificate::Given { chain, key } => drop(Identity::given(chain, key)?),
    }
    match &settings.tokens {
        Tokens::Made => if_there(&directory.join(TOKEN_FILE), TokenSet::made),
        Tokens::Given(path) => TokenSet::read(path).map(drop),
    }
}

/// Reads a file that would else be made.
fn if_there<T>(path: &Path, read: impl FnOnce(&Path) -> Result<T, Error>) -> Result<(), Error> {
    if path.exists() { read(path).map(drop) } else { Ok(()) }
}
