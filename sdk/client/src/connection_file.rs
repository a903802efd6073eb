//! `connection.json`: where a broker on this machine is, and how to get in.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{Error, Fingerprint};

const BYTES_MAX: u64 = 64 * 1024;

/// What a broker writes for the programs on its machine.
///
/// ```no_run
/// # async fn example() -> Result<(), logmill_client::Error> {
/// use logmill_client::{Client, ConnectOptions, ConnectionFile};
///
/// let file = ConnectionFile::load("data/connection.json".as_ref())?;
/// let client = Client::connect(ConnectOptions::from(file)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct ConnectionFile {
    /// Where the broker speaks QUIC: `HOST:PORT`.
    pub address: String,
    /// Where it speaks HTTP: `HOST:PORT`.
    pub http: Option<String>,
    /// The certificate that it shows.
    pub fingerprint: Fingerprint,
    /// What lets a client in.
    pub token: String,
    /// The broker's data directory, on the machine that the broker is on.
    #[serde(default)]
    pub data: Option<PathBuf>,
    /// Where the file lies.
    #[serde(skip)]
    pub path: String,
}

impl ConnectionFile {
    /// Reads a connection file.
    ///
    /// # Errors
    /// [`Error::ConnectionFile`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bad = |what: String| Error::ConnectionFile { path: path.display().to_string(), what };
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text))
            .map_err(|error| bad(error.to_string()))?;
        let mut file: Self = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        file.path = path.display().to_string();
        Ok(file)
    }
}

impl std::fmt::Debug for ConnectionFile {
    /// Without the token, which is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionFile")
            .field("address", &self.address)
            .field("http", &self.http)
            .field("fingerprint", &self.fingerprint)
            .field("data", &self.data)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
