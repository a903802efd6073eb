//! A connection below the client: for what no client of ours would send.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use logmill_client::ConnectionFile;
use logmill_wire::{Accepts, Decoded, Decoder, Frame, Hello, Message as _, StreamKind};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

use crate::within;

/// A QUIC connection on which anything can be sent.
#[derive(Debug)]
pub struct RawConnection {
    /// Lives as long as the connection.
    _endpoint: Endpoint,
    /// The connection.
    pub connection: Connection,
}

impl RawConnection {
    /// Connects, speaking this application protocol.
    ///
    /// # Errors
    /// When the broker refuses.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn connect(file: &ConnectionFile, alpn: &[u8]) -> Result<Self, ConnectionError> {
        let provider = Arc::new(ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        tls.alpn_protocols = vec![alpn.to_vec()];
        let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = file.address.parse().unwrap();
        let connecting = endpoint.connect_with(config, address, "127.0.0.1").unwrap();
        let connection = within("a connection", connecting).await?;
        Ok(Self { _endpoint: endpoint, connection })
    }

    /// Says hello and waits for the answer, as every client must first.
    ///
    /// # Panics
    /// When the broker does not answer.
    pub async fn hello(&self, token: &str) -> Frame {
        let hello =
            Hello { version: logmill_wire::VERSION, client: "raw".into(), token: token.into() };
        let frame = Frame::Open(StreamKind::Hello, hello.to_bytes().unwrap());
        let mut stream = self.open(&frame).await;
        stream.send.finish().unwrap();
        stream.next(Accepts::REPLY).await.expect("an answer to the hello")
    }

    /// Opens a stream with this frame.
    ///
    /// # Panics
    /// When the connection is lost.
    pub async fn open(&self, frame: &Frame) -> RawStream {
        let (send, receive) = self.connection.open_bi().await.unwrap();
        let decoder = Decoder::new(Accepts::REPLY);
        let mut stream = RawStream { send, receive, decoder, rest: Bytes::new() };
        stream.send.write_all(&encoded(frame)).await.unwrap();
        stream
    }
}

/// A stream on which anything can be sent.
pub struct RawStream {
    /// The way to the broker.
    pub send: SendStream,
    receive: RecvStream,
    decoder: Decoder,
    rest: Bytes,
}

impl RawStream {
    /// The next frame; None when the stream has ended, in whatever way.
    ///
    /// # Panics
    /// When what comes is no frame.
    pub async fn next(&mut self, accepts: Accepts) -> Option<Frame> {
        self.decoder.accept(accepts);
        within("a frame", async {
            loop {
                match self.decoder.feed(&mut self.rest) {
                    Decoded::Frame(frame) => return Some(frame),
                    Decoded::Malformed(error) => panic!("{error}"),
                    Decoded::Incomplete => {}
                }
                self.rest = self.receive.read_chunk(64 * 1024, true).await.ok()??.bytes;
            }
        })
        .await
    }
}

/// A frame as it travels.
///
/// # Panics
/// When it can't.
#[must_use]
pub fn encoded(frame: &Frame) -> Bytes {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes).unwrap();
    bytes.freeze()
}

/// Trusts any certificate: what is sent here is no secret.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
