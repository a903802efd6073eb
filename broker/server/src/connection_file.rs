//! `connection.json`: how programs on this machine find the broker and get in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{Error, private_file};

/// The content of the file.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct ConnectionFile {
    /// Where clients connect, QUIC.
    pub address: SocketAddr,
    /// Where the HTTP side door is.
    pub http: SocketAddr,
    /// The SHA-256 of the server's certificate (DER), in hexadecimal.
    pub fingerprint: String,
    /// The token that the server made; absent when the operator's token file names those that
    /// are accepted, since the server knows only their hashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The data directory, for programs on the same machine.
    pub data: PathBuf,
}

impl fmt::Debug for ConnectionFile {
    /// Without the token, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionFile")
            .field("address", &self.address)
            .field("http", &self.http)
            .field("fingerprint", &self.fingerprint)
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

impl ConnectionFile {
    /// Writes it, readable to its owner only.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let mut json = serde_json::to_vec(self)
            .map_err(|cause| Error::file("describe the broker in", path, cause.into()))?;
        json.push(b'\n');
        private_file::write(path, &json)
    }
}

/// Where a program on this machine reaches a server that listens here: a server on all addresses
/// is on loopback too.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_documented_names() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("connection.json");
        let mut file = ConnectionFile {
            address: reachable("0.0.0.0:7".parse().unwrap()),
            http: reachable("[::]:8".parse().unwrap()),
            fingerprint: "ab".to_owned(),
            token: Some("t".to_owned()),
            data: "/d".into(),
        };
        file.write(&path).unwrap();
        assert_eq!(
            private_file::read(&path).unwrap().unwrap(),
            "{\"address\":\"127.0.0.1:7\",\"http\":\"[::1]:8\",\"fingerprint\":\"ab\",\"token\":\"t\",\"data\":\"/d\"}\n"
        );
        file.token = None;
        file.write(&path).unwrap();
        assert!(!private_file::read(&path).unwrap().unwrap().contains("token"));
    }
}
