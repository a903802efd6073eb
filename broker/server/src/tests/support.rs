//! A server to test, and a client without manners.

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::{Config, Server, Settings, serve};
use bytes::Bytes;
use logmill_engine::Options;
use logmill_log::faulty::FaultyStorage;
use logmill_model::{Record, RecordBatch, TopicDescription, TopicPolicy};
use logmill_wire::{
    Accepts, Decoded, Decoder, Fault, Frame, FrameType, Hello, Message, Produce, Request, Response,
    StreamKind, VERSION, Welcome,
};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, ReadError, RecvStream, SendStream,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

/// All that a broker can send.
const ANYTHING: Accepts = Accepts::of(&[
    FrameType::Reply,
    FrameType::Fault,
    FrameType::Ack,
    FrameType::Data,
    FrameType::Progress,
]);

/// A bound on every wait: far above what any of them takes.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes far too long")
}

/// A data directory and the storage that survives restarts.
pub(crate) struct Site {
    pub(crate) data: TempDir,
    pub(crate) storage: FaultyStorage,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self { data: tempfile::tempdir().unwrap(), storage: FaultyStorage::new() }
    }

    pub(crate) fn config(&self) -> Config {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Config { listen: any, http: any, ..Config::new(self.data.path().to_owned()) }
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            storage: Arc::new(self.storage.clone()),
            data_dir: self.data.path().to_owned(),
            create_topics: true,
            topics_on_demand: false,
            compile_apart: false,
            clock: logmill_engine::clock::Clock::machine(),
            retention_interval: Duration::from_millis(10),
            before_call: None,
            log: logmill_log::Settings::default(),
        }
    }

    pub(crate) async fn start(&self) -> Server {
        self.start_with(self.config()).await
    }

    pub(crate) async fn start_with(&self, config: Config) -> Server {
        serve(Settings::check(config).unwrap(), self.options()).await.unwrap()
    }

    pub(crate) fn token(&self) -> String {
        fs::read_to_string(self.data.path().join("server/admin.token")).unwrap().trim().to_owned()
    }

    /// A client that has shaken hands and said nothing.
    pub(crate) async fn stranger(&self, server: &Server) -> Stranger {
        soon(self.shake_hands(server, logmill_wire::ALPN)).await.unwrap()
    }

    /// A client that was let in.
    pub(crate) async fn client(&self, server: &Server) -> Client {
        let stranger = self.stranger(server).await;
        let welcome = stranger.hello(&self.token()).await.unwrap();
        Client { stranger, welcome }
    }

    pub(crate) async fn shake_hands(
        &self,
        server: &Server,
        alpn: &[u8],
    ) -> Result<Stranger, ConnectionError> {
        let endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let config = client_config(&self.data.path().join("server/identity.pem"), alpn);
        let connection =
            endpoint.connect_with(config, server.address(), "localhost").unwrap().await?;
        Ok(Stranger { _endpoint: endpoint, connection })
    }
}

fn client_config(identity: &Path, alpn: &[u8]) -> ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(identity).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.to_vec()];
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
}

/// A connection whose hello has not been said.
pub(crate) struct Stranger {
    _endpoint: Endpoint,
    pub(crate) connection: Connection,
}

impl Stranger {
    pub(crate) async fn open(&self) -> Stream {
        let (send, recv) = soon(self.connection.open_bi()).await.unwrap();
        Stream { send, recv, decoder: Decoder::new(ANYTHING), rest: Bytes::new() }
    }

    /// Opens a stream with a message.
    pub(crate) async fn open_with(&self, kind: StreamKind, message: &impl Message) -> Stream {
        let mut stream = self.open().await;
        stream.send(&Frame::Open(kind, message.to_bytes().unwrap())).await;
        stream
    }

    pub(crate) async fn hello(&self, token: &str) -> Result<Welcome, Fault> {
        self.hello_of(Hello { version: VERSION, client: "raw".into(), token: token.into() }).await
    }

    pub(crate) async fn hello_of(&self, hello: Hello) -> Result<Welcome, Fault> {
        self.open_with(StreamKind::Hello, &hello).await.reply().await
    }

    /// The number and text with which the broker closes the connection.
    pub(crate) async fn closed(&self) -> (u64, String) {
        match soon(self.connection.closed()).await {
            ConnectionError::ApplicationClosed(close) => {
                (close.error_code.into_inner(), String::from_utf8(close.reason.to_vec()).unwrap())
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A connection whose hello was accepted.
pub(crate) struct Client {
    pub(crate) stranger: Stranger,
    pub(crate) welcome: Welcome,
}

impl std::ops::Deref for Client {
    type Target = Stranger;

    fn deref(&self) -> &Stranger {
        &self.stranger
    }
}

impl Client {
    pub(crate) async fn ask(&self, request: Request) -> Result<Response, Fault> {
        self.open_with(StreamKind::Control, &request).await.reply().await
    }

    pub(crate) async fn create(&self, topic: &str, partitions: u32) -> TopicDescription {
        let (topic, policy) = (topic.parse().unwrap(), TopicPolicy::default());
        let request = Request::TopicCreate { topic, partitions, policy };
        match self.ask(request).await {
            Ok(Response::Topic(topic)) => topic,
            other => panic!("{other:?}"),
        }
    }
}

/// One stream.
pub(crate) struct Stream {
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
    decoder: Decoder,
    rest: Bytes,
}

impl Stream {
    pub(crate) async fn send(&mut self, frame: &Frame) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes).unwrap();
        self.send_bytes(&bytes).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        soon(self.send.write_all(bytes)).await.unwrap();
    }

    pub(crate) async fn produce(&mut self, request: u64, partition: u32, batch: &RecordBatch) {
        self.send(&Frame::Produce(Produce::new(request, partition, batch))).await;
    }

    /// The next frame; None at the stream's end.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, ReadError> {
        loop {
            match self.decoder.feed(&mut self.rest) {
                Decoded::Frame(frame) => return Ok(Some(frame)),
                Decoded::Malformed(error) => panic!("{error}"),
                Decoded::Incomplete => {}
            }
            match soon(self.recv.read_chunk(usize::MAX, true)).await? {
                Some(chunk) => self.rest = chunk.bytes,
                None => return Ok(None),
            }
        }
    }

    pub(crate) async fn frame(&mut self) -> Frame {
        self.next().await.unwrap().expect("the stream has ended")
    }

    pub(crate) async fn reply<M: Message>(&mut self) -> Result<M, Fault> {
        match self.frame().await {
            Frame::Reply(bytes) => Ok(M::from_bytes(&bytes).unwrap()),
            Frame::Fault(fault) => Err(fault),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn fault(&mut self) -> Fault {
        match self.frame().await {
            Frame::Fault(fault) => fault,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn ends(&mut self) {
        assert_eq!(self.next().await.unwrap(), None);
    }
}

pub(crate) fn record(value: impl Into<Bytes>) -> Record {
    Record { value: Some(value.into()), ..Record::default() }
}

pub(crate) fn batch(values: &[&str]) -> RecordBatch {
    let records: Vec<Record> = values.iter().map(|value| record(value.to_string())).collect();
    RecordBatch::of(&records).unwrap()
}

/// A batch of one record of about this many bytes.
pub(crate) fn large_batch(bytes: usize) -> RecordBatch {
    RecordBatch::of(&[record(vec![b'x'; bytes])]).unwrap()
}

/// What a monitor sees at a path.
pub(crate) async fn http(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = soon(tokio::net::TcpStream::connect(address)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    soon(stream.write_all(request.as_bytes())).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}
