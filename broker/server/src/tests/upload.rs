//! Upload streams: what is no module is refused, whatever its length says.

use logmill_wire::{Response, StreamKind, Upload};

use super::support::{Client, Site, Stream};

async fn upload(client: &Client, length: u64, bytes: &[u8]) -> Stream {
    let mut stream = client.open_with(StreamKind::Upload, &Upload::of_module(length)).await;
    stream.send_bytes(bytes).await;
    stream.send.finish().unwrap();
    stream
}

#[tokio::test]
async fn what_is_not_wasm_is_refused_and_says_so() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    for bytes in [&b"#!/bin/sh"[..], b"", b"\0asm\x01\0\0\0"] {
        let mut stream = upload(&client, bytes.len() as u64, bytes).await;
        let fault = stream.reply::<Response>().await.unwrap_err();
        assert_eq!(fault.code.number(), 32, "{}", fault.text);
        assert!(fault.no_side_effects);
    }
}

#[tokio::test]
async fn an_upload_is_as_long_as_it_says() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    for (length, bytes, says) in
        [(10, &b"short"[..], "ended after 5"), (3, b"longer than that", "more came")]
    {
        let mut stream = upload(&client, length, bytes).await;
        let fault = stream.reply::<Response>().await.unwrap_err();
        assert_eq!(fault.code.number(), 2, "{}", fault.text);
        assert!(fault.text.contains(says), "{}", fault.text);
    }
}

#[tokio::test]
async fn a_module_that_is_too_large_is_refused_before_it_is_sent() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    for length in [(64 << 20) + 1, u64::MAX] {
        let mut stream = client.open_with(StreamKind::Upload, &Upload::of_module(length)).await;
        let fault = stream.reply::<Response>().await.unwrap_err();
        assert_eq!(fault.code.number(), 32, "{}", fault.text);
    }
}
