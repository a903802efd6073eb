//! Start, stop and start again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::{Error, Settings, serve};
use logmill_model::{Offset, Position};
use logmill_wire::{Frame, ProduceOpen, ProduceOpened, StreamKind, SubscribeOpen, SubscribeOpened};

use super::support::{Site, batch, http, soon};

#[tokio::test]
async fn a_restart_keeps_certificate_token_and_records() {
    let site = Site::new();
    let first = site.start().await;
    let client = site.client(&first).await;
    client.create("t", 1).await;
    let open = ProduceOpen { topic: "t".parse().unwrap(), partition: None, producer: None };
    let mut stream = client.open_with(StreamKind::Produce, &open).await;
    stream.reply::<ProduceOpened>().await.unwrap();
    stream.produce(1, 0, &batch(&["a"])).await;
    assert!(matches!(stream.frame().await, Frame::Ack(_)));
    let before = first.connection().clone();
    let epoch = first.engine().epoch();
    soon(first.shutdown()).await.unwrap();

    let second = site.start().await;
    assert_eq!(second.connection().fingerprint, before.fingerprint);
    assert_eq!(second.connection().token, before.token);
    assert_eq!(second.engine().epoch(), epoch.next());
    site.client(&second).await;
    let topic = second.engine().topic(&"t".parse().unwrap()).unwrap();
    assert_eq!(topic.partitions[0].end, Offset(1));
}

#[tokio::test]
async fn the_connection_file_says_how_to_get_in_to_its_owner_only() {
    let site = Site::new();
    let server = site.start().await;
    let path = site.data.path().join("connection.json");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let file: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(file["address"], server.address().to_string());
    assert_eq!(file["http"], server.http_address().to_string());
    assert_eq!(file["token"], site.token());
    assert_eq!(file["fingerprint"].as_str().unwrap().len(), 64);
    for entry in fs::read_dir(site.data.path().join("server")).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(http(server.http_address(), "/readyz").await.starts_with("HTTP/1.1 200"));
}

/// What is in flight when the stop begins is answered, then everybody is told why it ends.
#[tokio::test]
async fn a_shutdown_answers_what_was_in_flight_and_says_goodbye() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    let open = ProduceOpen { topic: "t".parse().unwrap(), partition: None, producer: None };
    let mut producer = client.open_with(StreamKind::Produce, &open).await;
    producer.reply::<ProduceOpened>().await.unwrap();
    let open = SubscribeOpen {
        topic: "t".parse().unwrap(),
        partition: 0,
        from: Position::Latest,
        filter: None,
        credit: 1 << 20,
    };
    let mut subscriber = client.open_with(StreamKind::Subscribe, &open).await;
    subscriber.reply::<SubscribeOpened>().await.unwrap();
    assert!(matches!(subscriber.frame().await, Frame::Progress(_)));
    site.storage.hold_syncs();
    producer.produce(1, 0, &batch(&["a"])).await;
    let storage = site.storage.clone();
    soon(tokio::task::spawn_blocking(move || storage.wait_for_held_sync())).await.unwrap();

    let began = Instant::now();
    let stopping = tokio::spawn(server.shutdown());
    // The subscriber's end shows that the stop has begun while the batch is in flight.
    assert_eq!(subscriber.fault().await.code.number(), 5);
    site.storage.release_syncs();
    assert!(matches!(producer.frame().await, Frame::Ack(_)));
    assert_eq!(producer.fault().await.code.number(), 5);
    producer.ends().await;
    let (code, reason) = client.closed().await;
    assert_eq!(code, 5);
    assert!(reason.contains("shutting down"), "{reason}");
    soon(stopping).await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_stop_that_comes_first_ends_a_run() {
    let site = Site::new();
    let server = site.start().await;
    let address = server.http_address();
    soon(server.run_until(std::future::ready(()))).await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_second_server_on_the_same_directory_or_address_is_refused_and_changes_nothing() {
    let site = Site::new();
    let server = site.start().await;
    let path = site.data.path().join("connection.json");
    let before = fs::read(&path).unwrap();
    let settings = |config| Settings::check(config).unwrap();
    let error = serve(settings(site.config()), site.options()).await.err().unwrap();
    assert!(matches!(error, Error::Engine(_)), "{error}");
    let other = Site::new();
    for config in [
        crate::Config { listen: server.address(), ..other.config() },
        crate::Config { http: server.http_address(), ..other.config() },
    ] {
        let error = serve(settings(config), other.options()).await.err().unwrap();
        assert!(matches!(error, Error::Listen { .. }), "{error}");
        assert!(error.to_string().contains("127.0.0.1:"), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(other.data.path()).unwrap().count(), 0);
    site.client(&server).await;
}

#[tokio::test]
async fn tokens_of_the_operators_file_are_accepted_and_no_other() {
    use sha2::{Digest, Sha256};
    let site = Site::new();
    let file = site.data.path().join("tokens");
    let hash: String = Sha256::digest("sesame").iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(&file, format!("{hash}  -\n")).unwrap();
    let config = crate::Config { token_file: Some(file), ..site.config() };
    let server = site.start_with(config).await;
    assert_eq!(server.connection().token, None);
    site.stranger(&server).await.hello("sesame").await.unwrap();
    for wrong in ["sesamf", hash.as_str()] {
        let fault = site.stranger(&server).await.hello(wrong).await.unwrap_err();
        assert_eq!(fault.code.number(), 1);
    }
}
