//! Strangers: each wrong way to come in has its own answer and changes nothing.

use std::time::Duration;

use logmill_wire::{Frame, Hello, Request, StreamKind, VERSION};
use quinn::ConnectionError;
use tokio::time::Instant;

use super::support::{Site, soon};

fn hello(version: u32, token: &str) -> Hello {
    Hello { version, client: "raw".into(), token: token.into() }
}

#[tokio::test]
async fn a_client_with_the_token_is_told_the_limits() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    assert_eq!(client.welcome.version, VERSION);
    assert_eq!(client.welcome.epoch, server.engine().epoch());
    assert_eq!(client.welcome.limits.record_bytes_max, 1 << 20);
    assert_eq!(client.welcome.limits.batch_bytes_max, 2 << 20);
    // The limits of a stranger are gone: as many streams as it was told.
    let mut streams = Vec::new();
    for _ in 0..client.welcome.limits.streams_max {
        streams.push(client.open().await);
    }
}

#[tokio::test]
async fn another_protocol_is_refused_in_the_handshake() {
    let site = Site::new();
    let server = site.start().await;
    match soon(site.shake_hands(&server, b"logmill/2")).await {
        Err(ConnectionError::ConnectionClosed(close)) => {
            // TLS alert 120, no_application_protocol, as RFC 9001 maps it.
            assert_eq!(u64::from(close.error_code), 0x178);
            assert!(!close.reason.is_empty());
        }
        other => panic!("{:?}", other.map(|_| "let in")),
    }
}

#[tokio::test]
async fn a_wrong_hello_closes_the_connection_with_its_own_number_and_reason() {
    let site = Site::new();
    let server = site.start().await;
    let token = site.token();
    let before = server.engine().durable_csn();
    for (hello, code, says) in [
        (hello(VERSION, "guess"), 1, "token"),
        (hello(VERSION, ""), 1, "token"),
        (hello(VERSION, &token[1..]), 1, "token"),
        (hello(VERSION + 1, &token), 3, "version"),
        (Hello { client: "x".repeat(201), ..hello(VERSION, &token) }, 2, "200"),
    ] {
        let stranger = site.stranger(&server).await;
        if let Err(fault) = stranger.hello_of(hello).await {
            assert_eq!(u64::from(fault.code.number()), code, "{}", fault.text);
            assert!(fault.no_side_effects && !fault.retryable);
        } else {
            panic!("let in");
        }
        let (closed, reason) = stranger.closed().await;
        assert_eq!(closed, code, "{reason}");
        assert!(reason.contains(says), "{reason}");
        assert!(!reason.contains(&token));
    }
    assert_eq!(server.engine().durable_csn(), before);
    site.client(&server).await;
}

#[tokio::test]
async fn what_is_no_hello_is_refused_as_a_bad_request() {
    let site = Site::new();
    let server = site.start().await;
    let request = Request::Status;
    for (bytes, says) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "malformed frame"),
        (vec![0; 64], "malformed frame"),
        (frame(StreamKind::Control, &request), "unexpected request frame"),
        // 4 GiB are announced.
        (vec![0x4c, 1, 0, 0, 255, 255, 255, 255], "at most 4096"),
        // A map that says it has 2^32 entries.
        (vec![0x4c, 1, 0, 0, 5, 0, 0, 0, 0xba, 255, 255, 255, 255], "malformed hello"),
    ] {
        let stranger = site.stranger(&server).await;
        stranger.open().await.send_bytes(&bytes).await;
        let (code, reason) = stranger.closed().await;
        assert_eq!(code, 2, "{reason}");
        assert!(reason.contains(says), "{reason}");
    }
    // A stream that ends without a word, and one that ends in the middle of a hello.
    for part in [&b""[..], &[0x4c, 1, 0, 0, 9]] {
        let stranger = site.stranger(&server).await;
        let mut stream = stranger.open().await;
        stream.send_bytes(part).await;
        stream.send.finish().unwrap();
        let (code, reason) = stranger.closed().await;
        assert_eq!(code, 2, "{reason}");
    }
    site.client(&server).await;
}

fn frame(kind: StreamKind, message: &impl logmill_wire::Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    Frame::Open(kind, message.to_bytes().unwrap()).encode(&mut bytes).unwrap();
    bytes
}

/// Three strangers at once: one says nothing, one stops in the middle, one opens a stream only.
#[tokio::test]
async fn a_hello_that_does_not_come_in_time_ends_the_connection() {
    let site = Site::new();
    let server = site.start().await;
    let began = Instant::now();
    let silent = site.stranger(&server).await;
    let slow = site.stranger(&server).await;
    let mut begun = slow.open().await;
    begun.send_bytes(&[0x4c, 1, 0, 0]).await;
    for stranger in [silent, slow] {
        let (code, reason) = stranger.closed().await;
        assert_eq!(code, 2);
        assert!(reason.contains("within 5 s"), "{reason}");
    }
    assert!(began.elapsed() >= Duration::from_secs(5));
    site.client(&server).await;
}

#[tokio::test]
async fn a_stranger_has_one_stream_until_its_hello_is_accepted() {
    let site = Site::new();
    let server = site.start().await;
    let stranger = site.stranger(&server).await;
    let first = stranger.open().await;
    let mut second = std::pin::pin!(stranger.connection.open_bi());
    tokio::select! {
        biased;
        _ = &mut second => panic!("a second stream"),
        () = std::future::ready(()) => {}
    }
    drop(first);
    assert!(stranger.connection.open_uni().now_or_never().is_none());
    let stranger = site.stranger(&server).await;
    stranger.hello(&site.token()).await.unwrap();
    soon(stranger.connection.open_bi()).await.unwrap();
}

trait NowOrNever: Future + Sized {
    /// What it has at the first look.
    fn now_or_never(self) -> Option<Self::Output> {
        let mut this = std::pin::pin!(self);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match this.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}

impl<F: Future> NowOrNever for F {}

#[tokio::test]
async fn one_address_may_not_take_all_places() {
    let site = Site::new();
    let config = crate::Config { connections_max: 4, ..site.config() };
    let server = site.start_with(config).await;
    let first = site.client(&server).await;
    let _second = site.client(&server).await;
    let refused = soon(site.shake_hands(&server, logmill_wire::ALPN)).await;
    assert!(matches!(refused, Err(ConnectionError::ConnectionClosed(_))));
    first.connection.close(0_u32.into(), b"");
    // Its place is free when the broker has seen it leave.
    soon(async {
        while site.shake_hands(&server, logmill_wire::ALPN).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
