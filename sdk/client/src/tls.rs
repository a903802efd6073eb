//! TLS: TLS 1.3 only, and a certificate that is known.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::{Error, Fingerprint, Trust};

/// The fingerprint of a certificate that was refused.
pub(crate) type Refused = Arc<OnceLock<Fingerprint>>;

/// What a handshake is made with. A certificate that its verifier refuses is noted in `refused`.
pub(crate) fn client_config(trust: &Trust, refused: &Refused) -> Result<ClientConfig, Error> {
    let bad = |error: rustls::Error| Error::Options(format!("TLS can't be set up: {error}"));
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(bad)?;
    let mut config = match trust {
        Trust::Fingerprint(expected) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned {
                expected: *expected,
                refused: Arc::clone(refused),
                provider,
            }))
            .with_no_client_auth(),
        Trust::Roots(roots) => {
            let mut store = RootCertStore::empty();
            for root in roots {
                store.add(root.clone()).map_err(bad)?;
            }
            builder.with_root_certificates(store).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![logmill_wire::ALPN.to_vec()];
    Ok(config)
}

/// Trusts one certificate, whatever name or dates stand in it. That the other end holds its key is
/// proven by the handshake's signature, which is checked as for any certificate.
#[derive(Debug)]
struct Pinned {
    expected: Fingerprint,
    refused: Refused,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = Fingerprint::of_certificate(end_entity);
        if found == self.expected {
            return Ok(ServerCertVerified::assertion());
        }
        // A handshake is verified once; were it twice, the first certificate is the one to name.
        let _ = self.refused.set(found);
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("QUIC has no TLS 1.2".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
