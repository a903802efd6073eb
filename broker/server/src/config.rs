//! What an operator can set, and how it becomes a checked value.
//!
//! Settings come, each overriding the one before, from the defaults, a TOML file, environment
//! variables (`LOGMILL_` and the key in capitals) and flags. [`Config`] is that data as it was
//! given; [`Settings`] is what the server works from and can't be built wrong.

mod environment;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use serde::{Deserialize, Serialize};

use crate::{Error, limits};
use environment::Environment;

/// All settings of the server, as they are written in its TOML file. Relative paths are taken from
/// the directory that the server is started in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory that holds everything the broker keeps. No default. It is made, readable to
    /// its owner only, when it is missing; one process at a time can use it.
    pub data: PathBuf,
    /// The address for clients (QUIC over UDP). Default `127.0.0.1:7460`; port 0 takes a free
    /// one. Beyond loopback, `tls_cert`, `tls_key` and `token_file` must be given.
    pub listen: SocketAddr,
    /// The address for people and monitors (HTTP, without TLS: `/healthz`, `/readyz`,
    /// `/metrics`). Default `127.0.0.1:7461`; port 0 takes a free one. Beyond loopback, the same
    /// files must be given as for `listen`.
    pub http: SocketAddr,
    /// Whether a deploy creates its source, output and dead-letter topics when they are missing.
    /// Default true; with false, such a deploy is refused.
    pub create_topics: bool,
    /// The PEM file of the certificate chain, leaf first. No default: on loopback a self-signed
    /// certificate is made once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// The PEM file of the certificate's private key; nobody but its owner may be able to read
    /// it. No default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// The file of accepted tokens: on each line the SHA-256 of one in hexadecimal, as
    /// `printf %s "$TOKEN" | sha256sum` prints it. No default: on loopback one token is made
    /// once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Clients connected at once, of which one address may hold half. Default 1024. Each costs
    /// about 128 KiB of `network_memory` when it does its worst.
    pub connections_max: u32,
    /// Memory for bytes in flight to and from clients, such as `512MiB`. Default 512 MiB. Half of
    /// it is for batches that wait to become durable, half for the transport's windows: with more
    /// of it, more clients have large windows, which are fast over long distances.
    pub network_memory: ByteSize,
    /// How often retention looks for records that topics don't keep, in milliseconds. Default 1000.
    pub retention_interval_ms: u64,
    /// The size of a journal file, such as `128MiB`; between 1 MiB and 1 GiB. Default 128 MiB. Its
    /// space is taken in advance, and that of two more, so a broker at rest takes three times this
    /// of the disk. Larger files are begun less often; smaller ones are freed sooner by retention.
    /// Memory does not depend on it.
    pub journal_file_bytes: ByteSize,
    /// How much of the disk is left free, so that a broker on a full disk can still win space back:
    /// it rewrites before it removes. Between 64 MiB and 1 TiB. Default 128 MiB. With less than this
    /// and a journal file free, the disk counts as full: no records are taken in until there is
    /// space.
    pub reserve_bytes: ByteSize,
    /// The most that one segment holds when the cleaner makes it of several journal files, such as
    /// `512MiB`; between 1 MiB and 1 GiB. Default 512 MiB. Larger ones are fewer files; each needs as
    /// much of the disk while it is made.
    pub segment_bytes: ByteSize,
    /// How much the cleaner reads and writes in a second while it keeps up, such as `64MiB`; at least
    /// 1 MiB. Default 64 MiB. It goes faster the further it is behind. Less leaves more of the disk to
    /// producers and readers, and more of it taken by what nobody needs.
    pub cleaner_bytes_per_second: ByteSize,
    /// How much of the files that are full is read in a second to find what is corrupt before
    /// somebody needs it, such as `8MiB`; 0 is nothing, else at least 64 KiB. Default 8 MiB. All of
    /// them are read, then it waits an hour. Less leaves more of the disk to producers and readers,
    /// and rot unfound for longer.
    pub scrub_bytes_per_second: ByteSize,
}

/// What flags say; what is None was not said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Flags {
    /// See [`Config::data`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// See [`Config::listen`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// See [`Config::http`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
    /// See [`Config::create_topics`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_topics: Option<bool>,
}

/// The settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) create_topics: bool,
    pub(crate) certificate: Certificate,
    pub(crate) tokens: Tokens,
    pub(crate) connections_max: usize,
    pub(crate) window_bytes: usize,
    pub(crate) produce_bytes: usize,
    retention_interval: Duration,
    journal_file_bytes: u64,
    reserve_bytes: u64,
    segment_bytes: u64,
    cleaner_bytes_per_second: u64,
    scrub_bytes_per_second: u64,
}

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Certificate {
    /// Made once and kept in the data directory.
    Made,
    /// Given by the operator.
    Given { chain: PathBuf, key: PathBuf },
}

/// Where the accepted tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tokens {
    /// One, made once and kept in the data directory.
    Made,
    /// The hashes in the operator's file.
    Given(PathBuf),
}

impl Settings {
    /// Merges the TOML file, the environment (pairs of name and value, of which those that begin
    /// with `LOGMILL_` count) and flags over the defaults, and checks the result.
    ///
    /// # Errors
    /// [`Error::Config`] names the key and where it stands; [`Error::Exposed`] and
    /// [`Error::HalfCertificate`] say which setting is missing.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &Flags,
    ) -> Result<Self, Error> {
        let mut figment = Figment::from(Serialized::defaults(Defaults::default()));
        if let Some(path) = file {
            // A missing file would merge as an empty one.
            std::fs::metadata(path).map_err(|cause| Error::file("read", path, cause))?;
            figment = figment.merge(Toml::file_exact(path));
        }
        let config: Config = figment
            .merge(Environment::of(environment))
            .merge(Serialized::defaults(flags))
            .extract()
            .map_err(Error::config)?;
        Self::check(config)
    }

    /// Checks settings that did not come from files.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn check(config: Config) -> Result<Self, Error> {
        let certificate = match (config.tls_cert, config.tls_key) {
            (Some(chain), Some(key)) => Certificate::Given { chain, key },
            (None, None) => Certificate::Made,
            (None, Some(_)) => return Err(Error::HalfCertificate { missing: "tls_cert" }),
            (Some(_), None) => return Err(Error::HalfCertificate { missing: "tls_key" }),
        };
        let tokens = config.token_file.map_or(Tokens::Made, Tokens::Given);
        if let Some(address) =
            [config.listen, config.http].into_iter().find(|address| !address.ip().is_loopback())
        {
            if certificate == Certificate::Made {
                return Err(Error::Exposed { address, missing: "tls_cert and tls_key" });
            }
            if tokens == Tokens::Made {
                return Err(Error::Exposed { address, missing: "token_file" });
            }
        }
        let connections_max = config.connections_max as usize;
        if connections_max == 0 {
            return Err(Error::TooSmall { key: "connections_max", min: "1".to_owned() });
        }
        if config.retention_interval_ms == 0 {
            return Err(Error::TooSmall { key: "retention_interval_ms", min: "1".to_owned() });
        }
        let half = usize::try_from(config.network_memory.as_u64() / 2).unwrap_or(usize::MAX);
        let least = (connections_max * 2 * limits::WINDOW_BYTES_MIN as usize)
            .max(limits::PRODUCE_CLIENT_BYTES_MAX);
        if half < least {
            let min = ByteSize::b(2 * least as u64).to_string();
            return Err(Error::TooSmall { key: "network_memory", min });
        }
        for (key, value, range) in [
            ("journal_file_bytes", config.journal_file_bytes, limits::JOURNAL_FILE_BYTES),
            ("reserve_bytes", config.reserve_bytes, limits::RESERVE_BYTES),
            ("segment_bytes", config.segment_bytes, limits::SEGMENT_BYTES),
            ("cleaner_bytes_per_second", config.cleaner_bytes_per_second, limits::CLEANER_PACE),
        ] {
            check_range(key, value, range)?;
        }
        let scrub = config.scrub_bytes_per_second;
        if scrub.as_u64() > 0 {
            check_range("scrub_bytes_per_second", scrub, limits::SCRUBBER_PACE)?;
        }
        Ok(Self {
            data: config.data,
            listen: config.listen,
            http: config.http,
            create_topics: config.create_topics,
            certificate,
            tokens,
            connections_max,
            window_bytes: half,
            produce_bytes: half,
            retention_interval: Duration::from_millis(config.retention_interval_ms),
            journal_file_bytes: config.journal_file_bytes.as_u64(),
            reserve_bytes: config.reserve_bytes.as_u64(),
            segment_bytes: config.segment_bytes.as_u64(),
            cleaner_bytes_per_second: config.cleaner_bytes_per_second.as_u64(),
            scrub_bytes_per_second: scrub.as_u64(),
        })
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Whether a deploy creates topics that are missing.
    #[must_use]
    pub fn create_topics(&self) -> bool {
        self.create_topics
    }

    /// How often retention looks for records that topics don't keep.
    #[must_use]
    pub fn retention_interval(&self) -> Duration {
        self.retention_interval
    }

    /// The size of a journal file, in bytes.
    #[must_use]
    pub fn journal_file_bytes(&self) -> u64 {
        self.journal_file_bytes
    }

    /// How much of the disk is left free, in bytes.
    #[must_use]
    pub fn reserve_bytes(&self) -> u64 {
        self.reserve_bytes
    }

    /// The most that one segment holds, in bytes.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// How much the cleaner reads and writes in a second while it keeps up.
    #[must_use]
    pub fn cleaner_bytes_per_second(&self) -> u64 {
        self.cleaner_bytes_per_second
    }

    /// How much of the sealed files is read in a second to find what is corrupt; 0 is nothing.
    #[must_use]
    pub fn scrub_bytes_per_second(&self) -> u64 {
        self.scrub_bytes_per_second
    }
}

fn check_range(
    key: &'static str,
    value: ByteSize,
    (least, most): (ByteSize, ByteSize),
) -> Result<(), Error> {
    if value < least {
        return Err(Error::TooSmall { key, min: least.to_string() });
    }
    if value > most {
        return Err(Error::TooLarge { key, max: most.to_string() });
    }
    Ok(())
}

impl Config {
    /// The defaults for this data directory.
    #[must_use]
    pub fn new(data: PathBuf) -> Self {
        let Defaults {
            listen,
            http,
            create_topics,
            connections_max,
            network_memory,
            retention_interval_ms,
            journal_file_bytes,
            reserve_bytes,
            segment_bytes,
            cleaner_bytes_per_second,
            scrub_bytes_per_second,
        } = Defaults::default();
        Self {
            data,
            listen,
            http,
            create_topics,
            tls_cert: None,
            tls_key: None,
            token_file: None,
            connections_max,
            network_memory,
            retention_interval_ms,
            journal_file_bytes,
            reserve_bytes,
            segment_bytes,
            cleaner_bytes_per_second,
            scrub_bytes_per_second,
        }
    }
}

/// The settings that have a default.
#[derive(Serialize)]
struct Defaults {
    listen: SocketAddr,
    http: SocketAddr,
    create_topics: bool,
    connections_max: u32,
    network_memory: ByteSize,
    retention_interval_ms: u64,
    journal_file_bytes: ByteSize,
    reserve_bytes: ByteSize,
    segment_bytes: ByteSize,
    cleaner_bytes_per_second: ByteSize,
    scrub_bytes_per_second: ByteSize,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7460)),
            http: SocketAddr::from(([127, 0, 0, 1], 7461)),
            create_topics: true,
            connections_max: 1024,
            network_memory: ByteSize::mib(512),
            retention_interval_ms: 1000,
            journal_file_bytes: ByteSize::mib(128),
            reserve_bytes: ByteSize::mib(128),
            segment_bytes: ByteSize::mib(512),
            cleaner_bytes_per_second: ByteSize::mib(64),
            scrub_bytes_per_second: ByteSize::mib(8),
        }
    }
}

#[cfg(test)]
mod tests;
