//! Where to connect to, whom to trust there, and who is asking.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::{ConnectionFile, Error, Fingerprint};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Whose certificate a broker must show.
#[derive(Debug, Clone)]
pub enum Trust {
    /// This very certificate: brokers make one for themselves.
    Fingerprint(Fingerprint),
    /// One that these authorities signed, for the host of the address.
    Roots(Vec<CertificateDer<'static>>),
}

impl Trust {
    /// Trusts the authorities of a PEM file's content.
    ///
    /// # Errors
    /// [`Error::Options`] when there is none in it.
    pub fn roots_of_pem(pem: &[u8]) -> Result<Self, Error> {
        let roots = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Error::Options(format!("bad PEM: {error}")))?;
        if roots.is_empty() {
            return Err(Error::Options("the PEM holds no certificate".to_owned()));
        }
        Ok(Self::Roots(roots))
    }
}

/// How to connect.
///
/// ```no_run
/// # async fn example() -> Result<(), logmill_client::Error> {
/// use logmill_client::{Client, ConnectOptions};
///
/// // LOGMILL_CONNECT, else the nearest .logmill/connection.json, else the user's runtime folder.
/// let options = ConnectOptions::discover(None)?.client_name("billing");
/// let client = Client::connect(options).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ConnectOptions {
    pub(crate) address: String,
    pub(crate) trust: Trust,
    pub(crate) token: String,
    pub(crate) client_name: String,
    pub(crate) timeout: Duration,
    pub(crate) origin: String,
    pub(crate) data: Option<PathBuf>,
    /// The file that says where the broker is.
    file: Option<PathBuf>,
}

impl ConnectOptions {
    /// Connects to `HOST:PORT`, with a token.
    #[must_use]
    pub fn new(address: impl Into<String>, trust: Trust, token: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            trust,
            token: token.into(),
            client_name: concat!("logmill-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            timeout: TIMEOUT,
            origin: "as given".to_owned(),
            data: None,
            file: None,
        }
    }

    /// What the client calls itself in the broker's log; at most 200 bytes.
    #[must_use]
    pub fn client_name(self, name: impl Into<String>) -> Self {
        Self { client_name: name.into(), ..self }
    }

    /// How long connecting may take, the hello included; 5 s unless told. Without a broker at the
    /// address it takes that long to find out.
    #[must_use]
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Where it connects to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The broker's data directory, where its connection file says it: on this machine only when
    /// the broker is.
    #[must_use]
    pub fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// The same, as the file says it now that said it first: a broker that was started again may be
    /// somewhere else.
    pub(crate) fn reloaded(&self) -> Self {
        let file = self.file.as_deref().map(ConnectionFile::load);
        match file {
            Some(Ok(ConnectionFile { address, fingerprint, token, .. })) => {
                Self { address, trust: Trust::Fingerprint(fingerprint), token, ..self.clone() }
            }
            _ => self.clone(),
        }
    }

    /// Who says where the broker is: a file, an option.
    pub(crate) fn origin(self, origin: impl Into<String>) -> Self {
        Self { origin: origin.into(), ..self }
    }
}

impl From<ConnectionFile> for ConnectOptions {
    fn from(file: ConnectionFile) -> Self {
        let options = Self::new(file.address, Trust::Fingerprint(file.fingerprint), file.token);
        let path = Some(PathBuf::from(&file.path));
        Self { data: file.data, file: path, ..options.origin(file.path) }
    }
}

impl std::fmt::Debug for ConnectOptions {
    /// Without the token, which is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("address", &self.address)
            .field("trust", &self.trust)
            .field("client_name", &self.client_name)
            .field("timeout", &self.timeout)
            .field("origin", &self.origin)
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}
