//! Who the server is: its certificate and key, made once or given, and what TLS is made of them.

use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use crate::{Error, hex, private_file};

/// What the made certificate is for; clients pin its fingerprint and do not look at names.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate chain, leaf first, and its key.
#[derive(Debug)]
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// The self-signed certificate in this file, which is made when it is missing. Certificate
    /// and key share one file, so that a crash can't leave one without the other.
    pub(crate) fn made(path: &Path) -> Result<Self, Error> {
        let pem = match private_file::read(path)? {
            Some(pem) => pem,
            None => {
                let pem = made_pem()?;
                private_file::write(path, pem.as_bytes())?;
                pem
            }
        };
        Self::of(path, &pem, path, &pem)
    }

    /// A self-signed certificate that is kept nowhere.
    pub(crate) fn passing() -> Result<Self, Error> {
        let pem = made_pem()?;
        let nowhere = Path::new("the certificate in memory");
        Self::of(nowhere, &pem, nowhere, &pem)
    }

    /// The operator's certificate and key.
    pub(crate) fn given(chain: &Path, key: &Path) -> Result<Self, Error> {
        let chain_pem = private_file::read_public(chain)?;
        let key_pem = private_file::read(key)?
            .ok_or_else(|| Error::file("read", key, std::io::ErrorKind::NotFound.into()))?;
        Self::of(chain, &chain_pem, key, &key_pem)
    }

    fn of(chain: &Path, chain_pem: &str, key: &Path, key_pem: &str) -> Result<Self, Error> {
        let certificates = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|cause| Error::content(chain, format!("is not a PEM certificate: {cause}")))?;
        if certificates.is_empty() {
            let what = "holds no PEM certificate; where the broker has made it, delete it and a new one is made";
            return Err(Error::content(chain, what));
        }
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|cause| Error::content(key, format!("holds no PEM private key: {cause}")))?;
        Ok(Self { chain: certificates, key })
    }

    /// The SHA-256 of the leaf certificate, in hexadecimal: what clients pin.
    pub(crate) fn fingerprint(&self) -> String {
        hex::encode(&Sha256::digest(&self.chain[0]))
    }

    /// TLS 1.3 that speaks this one protocol and keeps nothing of a client between connections.
    pub(crate) fn into_tls(self, alpn: &[u8]) -> Result<rustls::ServerConfig, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(self.chain, self.key)?;
        tls.alpn_protocols = vec![alpn.to_vec()];
        tls.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        tls.send_tls13_tickets = 0;
        Ok(tls)
    }
}

fn made_pem() -> Result<String, Error> {
    self_signed().map_err(|cause| Error::Make { what: "certificate", cause: cause.to_string() })
}

fn self_signed() -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(NAMES.map(str::to_owned))?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "logmill");
    let certificate = parameters.self_signed(&key)?;
    Ok(certificate.pem() + &key.serialize_pem())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_kept_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity.pem");
        let first = Identity::made(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let second = Identity::made(&path).unwrap();
        assert_eq!(first.fingerprint(), second.fingerprint());
        assert_eq!(first.fingerprint().len(), 64);
        let other = Identity::made(&directory.path().join("other.pem")).unwrap();
        assert_ne!(first.fingerprint(), other.fingerprint());
        let tls = second.into_tls(b"x/1").unwrap();
        assert_eq!(tls.alpn_protocols, [b"x/1".to_vec()]);
    }

    #[test]
    fn given_files_are_read_and_a_wrong_one_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            private_file::write(&path, text.as_bytes()).unwrap();
            path
        };
        let pem = self_signed().unwrap();
        let at = pem.find("-----BEGIN PRIVATE").unwrap();
        let (chain, key) = (write("chain.pem", &pem[..at]), write("key.pem", &pem[at..]));
        let identity = Identity::given(&chain, &key).unwrap();
        identity.into_tls(b"x").unwrap();
        let empty = write("empty.pem", "");
        for (chain, key, says) in [
            (&empty, &key, "empty.pem holds no PEM certificate"),
            (&chain, &chain, "chain.pem holds no PEM private key"),
            (&chain, &directory.path().join("none.pem"), "none.pem"),
        ] {
            let text = Identity::given(chain, key).unwrap_err().to_string();
            assert!(text.contains(says), "{text}");
        }
        let other = self_signed().unwrap();
        let wrong = write("wrong.pem", &other[other.find("-----BEGIN PRIVATE").unwrap()..]);
        assert!(matches!(
            Identity::given(&chain, &wrong).unwrap().into_tls(b"x"),
            Err(Error::Tls(_))
        ));
    }
}
