//! Why a server did not start, or did not end in order. What goes wrong with one client is told to
//! that client (`fault.rs`) and is no error here.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why a server did not start, or did not end in order.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is unknown, missing or of the wrong kind; the text names the key and its place.
    #[error("bad setting: {0}")]
    Config(String),
    /// One file of the certificate was given without the other.
    #[error("a certificate needs its chain and its key; set {missing} too")]
    HalfCertificate {
        /// The setting that is missing.
        missing: &'static str,
    },
    /// The server would be reachable from other machines with what it makes itself.
    #[error("{address} is reachable from other machines; set {missing}, or listen on 127.0.0.1")]
    Exposed {
        /// The address.
        address: SocketAddr,
        /// The settings that are missing.
        missing: &'static str,
    },
    /// A setting is below what can work.
    #[error("{key} is too small; set it to {min} or more")]
    TooSmall {
        /// The setting.
        key: &'static str,
        /// The least that works.
        min: String,
    },
    /// A setting is above what can work.
    #[error("{key} is too large; set it to {max} or less")]
    TooLarge {
        /// The setting.
        key: &'static str,
        /// The most that works.
        max: String,
    },
    /// A file could not be read or written.
    #[error("could not {verb} {path}: {cause}", path = path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// A file that holds a secret can be read by others.
    #[error("{path} holds a secret and has mode {mode:o}; run chmod 600 on it", path = path.display())]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file does not hold what it should.
    #[error("{path} {what}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// The certificate and key can't be used for TLS.
    #[error("the certificate can't be used: {0}")]
    Tls(#[from] rustls::Error),
    /// No certificate or token could be made.
    #[error("could not make a {what}: {cause}")]
    Make {
        /// What was to be made.
        what: &'static str,
        /// Why not.
        cause: String,
    },
    /// An address could not be listened on.
    #[error("could not listen on {address}: {cause}; is another server using it?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        cause: io::Error,
    },
    /// The engine did not start, or did not end in order.
    #[error(transparent)]
    Engine(#[from] logmill_engine::Error),
    /// The journal could not be written or synced. Nothing is acknowledged any more.
    #[error("the journal has failed: {0}; check the disk, then start the broker again")]
    Journal(String),
    /// The engine did not come to rest in time.
    #[error("what was running did not settle within {seconds} s; the next start recovers")]
    Unsettled {
        /// How long was waited.
        seconds: u64,
    },
}

impl Error {
    pub(crate) fn file(verb: &'static str, path: &Path, cause: io::Error) -> Self {
        Self::File { verb, path: path.to_owned(), cause }
    }

    pub(crate) fn content(path: &Path, what: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), what: what.into() }
    }

    pub(crate) fn config(error: figment::Error) -> Self {
        let texts: Vec<String> = error.into_iter().map(|error| error.to_string()).collect();
        Self::Config(texts.join("; "))
    }
}
