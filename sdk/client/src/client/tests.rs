//! Tests of connecting: who is trusted, who is welcome.

use std::sync::Arc;
use std::time::Duration;

use quinn::EndpointConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::*;
use crate::fake_broker::{FakeBroker, Identity, Peer, TOKEN, record, soon, tls_builder, welcome};
use logmill_wire::ErrorCode;

/// Serves one hello well.
async fn serve_hello(broker: &FakeBroker) -> (Peer, Hello) {
    let peer = broker.accept().await;
    let mut stream = peer.stream().await;
    let hello = stream.message();
    stream.reply(&welcome()).await;
    stream.writer.finish();
    (peer, hello)
}

#[tokio::test]
async fn a_client_says_hello_and_is_told_the_limits() {
    let broker = FakeBroker::start();
    let options = broker.options().client_name("billing");
    let (client, (peer, hello)) =
        soon(async { tokio::join!(Client::connect(options), serve_hello(&broker)) }).await;
    let client = client.unwrap();
    assert_eq!((hello.version, hello.client.as_str(), hello.token.as_str()), (1, "billing", TOKEN));
    assert_eq!(client.welcome(), &welcome());
    soon(client.close()).await;
    let reason = soon(peer.connection.closed()).await;
    assert!(
        matches!(reason, ConnectionError::ApplicationClosed(close) if close.error_code == VarInt::from_u32(0))
    );
}

#[tokio::test]
async fn a_certificate_that_is_not_the_pinned_one_is_refused_and_named() {
    let broker = FakeBroker::start();
    let expected = Identity::new().fingerprint();
    let trust = Trust::Fingerprint(expected);
    let options = ConnectOptions::new(broker.address.to_string(), trust, TOKEN);
    let error = broker.rejected(options).await;
    let address = broker.address.to_string();
    let found = broker.identity.fingerprint();
    assert_eq!(error, Error::Fingerprint { address, expected, found });
}

/// Shows one certificate and signs with the key of another.
#[derive(Debug)]
struct Impostor(Arc<CertifiedKey>);

impl ResolvesServerCert for Impostor {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// The certificate is public: only the handshake's signature proves who is there.
#[tokio::test]
async fn the_pinned_certificate_without_its_key_is_refused() {
    let (victim, own) = (Identity::new(), Identity::new());
    let key = ring::sign::any_supported_type(&own.key).unwrap();
    let shown = CertifiedKey::new(vec![victim.certificate.clone()], key);
    let mut tls = tls_builder().with_cert_resolver(Arc::new(Impostor(Arc::new(shown))));
    tls.alpn_protocols = vec![logmill_wire::ALPN.to_vec()];
    let broker = FakeBroker::start_with(victim, tls, EndpointConfig::default());
    let error = broker.rejected(broker.options()).await;
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    assert!(error.to_string().contains("BadSignature"), "{error}");
}

#[tokio::test]
async fn an_authority_is_trusted_for_the_name_it_signed() {
    let broker = FakeBroker::start();
    let port = broker.address.port();
    let own = Trust::roots_of_pem(broker.identity.pem.as_bytes()).unwrap();
    let options = ConnectOptions::new(format!("localhost:{port}"), own.clone(), TOKEN);
    let (client, _) =
        soon(async { tokio::join!(Client::connect(options), serve_hello(&broker)) }).await;
    client.unwrap();
    let other = Trust::roots_of_pem(Identity::new().pem.as_bytes()).unwrap();
    for (host, trust) in [("localhost", other), ("127.0.0.1", own)] {
        let options = ConnectOptions::new(format!("{host}:{port}"), trust, TOKEN);
        let error = broker.rejected(options).await;
        assert!(error.to_string().contains("certificate"), "{error}");
    }
    assert!(matches!(Trust::roots_of_pem(b"no PEM"), Err(Error::Options(_))));
}

#[tokio::test]
async fn a_broker_of_another_protocol_is_refused() {
    let identity = Identity::new();
    let mut tls = identity.tls();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let broker = FakeBroker::start_with(identity, tls, EndpointConfig::default());
    let error = broker.rejected(broker.options()).await;
    assert!(error.to_string().contains("protocol"), "{error}");
}

#[tokio::test]
async fn a_refused_token_is_told_also_when_the_goodbye_overtakes_the_answer() {
    let broker = FakeBroker::start();
    for with_fault in [true, false] {
        let refuse = async {
            let peer = broker.accept().await;
            let mut stream = peer.stream().await;
            if with_fault {
                stream.refuse(Fault::new(ErrorCode::Unauthenticated, "no such token")).await;
                return (peer, Some(stream));
            }
            peer.close(ErrorCode::Unauthenticated.number(), "no such token");
            (peer, None)
        };
        let (client, _) =
            soon(async { tokio::join!(Client::connect(broker.options()), refuse) }).await;
        let error = client.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::Unauthenticated));
        assert_eq!(error.to_string(), "unauthenticated: no such token");
        assert!(!error.is_retryable() && error.has_no_side_effects());
    }
}

#[tokio::test]
async fn an_address_where_nobody_answers_fails_in_time() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let trust = Trust::Fingerprint(Identity::new().fingerprint());
    let options =
        ConnectOptions::new(&address, trust, TOKEN).connect_timeout(Duration::from_millis(50));
    let error = soon(Client::connect(options)).await.unwrap_err();
    assert!(error.to_string().contains(&address), "{error}");
    assert!(error.is_retryable() && error.has_no_side_effects());
}

/// The datagrams of a client on loopback are large; a broker may take only small ones.
#[tokio::test]
async fn datagrams_are_as_large_as_both_ends_take() {
    for bytes in [1200, 1472, 4096, 65_000] {
        let identity = Identity::new();
        let tls = identity.tls();
        let mut config = EndpointConfig::default();
        config.max_udp_payload_size(bytes).unwrap();
        let broker = FakeBroker::start_with(identity, tls, config);
        let (client, peer) = broker.connect().await;
        let (producer, stream) =
            soon(async { tokio::join!(client.producer("t".parse().unwrap()), peer.producer(1)) })
                .await;
        let (producer, mut stream) = (producer.unwrap(), stream);
        for _ in 0..8 {
            let _ticket = soon(producer.send(record(vec![7; 1_000_000]))).await.unwrap();
            let (produce, batch) = stream.produced().await;
            assert_eq!(batch.record_count(), 1);
            stream.ack(&produce, 0).await;
        }
        soon(producer.flush()).await.unwrap();
        let mtu = client.connection().stats().path.current_mtu;
        assert!(mtu <= bytes.min(4096) && mtu >= bytes.min(1400), "{bytes}: {mtu}");
    }
}

#[test]
fn the_host_of_an_address_has_no_port_and_no_brackets() {
    for (address, host) in
        [("localhost:1", "localhost"), ("127.0.0.1:7460", "127.0.0.1"), ("[::1]:7460", "::1")]
    {
        assert_eq!(host_of(address), host);
    }
}
