//! A broker for tests: a real QUIC endpoint on loopback whose every answer the test gives.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use logmill_model::{
    Compression, Csn, Envelope, Epoch, Header, Offset, ProducerIdentity, Record, RecordBatch,
    ShardId, Timestamp,
};
use logmill_wire::{
    Accepts, Ack, Append, AppendBatch, Data, Fault, Frame, Hello, Limits, Message, Produce,
    ProduceOpen, ProduceOpened, Progress, Request, Response, StreamKind, SubscribeOpen,
    SubscribeOpened, Welcome,
};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, EndpointConfig, ServerConfig, TokioRuntime, VarInt};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::stream::{FrameReader, FrameWriter};
use crate::{Client, ConnectOptions, Error, Fingerprint, Trust};

/// Longer than anything here takes, on a machine that is busy with other things.
const DEADLINE: Duration = Duration::from_secs(20);
/// Who a producer is told to be.
pub(crate) const IDENTITY: ProducerIdentity = ProducerIdentity { id: 7, epoch: 1 };
pub(crate) const TOKEN: &str = "token-of-tests";

/// Waits for what must come.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it should have come by now")
}

/// A certificate with its key.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) pem: String,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        Self { certificate: made.cert.der().clone(), key, pem: made.cert.pem() }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_certificate(&self.certificate)
    }

    pub(crate) fn tls(&self) -> rustls::ServerConfig {
        let mut tls = tls_builder()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .unwrap();
        tls.alpn_protocols = vec![logmill_wire::ALPN.to_vec()];
        tls
    }
}

pub(crate) fn tls_builder()
-> rustls::ConfigBuilder<rustls::ServerConfig, rustls::server::WantsServerCert> {
    rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
}

pub(crate) struct FakeBroker {
    endpoint: Endpoint,
    pub(crate) identity: Identity,
    pub(crate) address: SocketAddr,
}

impl FakeBroker {
    pub(crate) fn start() -> Self {
        let identity = Identity::new();
        let tls = identity.tls();
        Self::start_with(identity, tls, EndpointConfig::default())
    }

    pub(crate) fn start_with(
        identity: Identity,
        tls: rustls::ServerConfig,
        config: EndpointConfig,
    ) -> Self {
        let crypto = Arc::new(QuicServerConfig::try_from(tls).unwrap());
        let server = ServerConfig::with_crypto(crypto);
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let runtime = Arc::new(TokioRuntime);
        let endpoint = Endpoint::new(config, Some(server), socket, runtime).unwrap();
        let address = endpoint.local_addr().unwrap();
        Self { endpoint, identity, address }
    }

    /// How a client of this broker connects.
    pub(crate) fn options(&self) -> ConnectOptions {
        let trust = Trust::Fingerprint(self.identity.fingerprint());
        ConnectOptions::new(self.address.to_string(), trust, TOKEN)
    }

    /// Accepts a connection.
    pub(crate) async fn accept(&self) -> Peer {
        let incoming = soon(self.endpoint.accept()).await.unwrap();
        Peer { connection: soon(incoming.accept().unwrap()).await.unwrap() }
    }

    /// Why a client does not like the handshake.
    pub(crate) async fn rejected(&self, options: ConnectOptions) -> Error {
        let handshake = async {
            let incoming = self.endpoint.accept().await.unwrap();
            // The client decides, whatever this end makes of it.
            if let Ok(connecting) = incoming.accept() {
                let _ = connecting.await;
            }
            std::future::pending().await
        };
        let connected = soon(async {
            tokio::select! {
                connected = Client::connect(options) => connected,
                () = handshake => unreachable!("it waits for ever"),
            }
        });
        connected.await.unwrap_err()
    }

    /// A client and its other end, which has welcomed it.
    pub(crate) async fn connect(&self) -> (Client, Peer) {
        let server = async {
            let peer = self.accept().await;
            let mut hello = peer.stream().await;
            hello.message::<Hello>();
            hello.reply(&welcome()).await;
            hello.writer.finish();
            peer
        };
        let (client, peer) =
            soon(async { tokio::join!(Client::connect(self.options()), server) }).await;
        (client.unwrap(), peer)
    }
}

pub(crate) fn welcome() -> Welcome {
    Welcome {
        version: 1,
        server: "0.1.0".into(),
        shard: ShardId(0),
        epoch: Epoch(3),
        limits: Limits {
            record_bytes_max: 1 << 20,
            batch_bytes_max: 2 << 20,
            module_bytes_max: 64 << 20,
            streams_max: 100,
            produce_bytes_max: 16 << 20,
        },
    }
}

/// The broker's end of a connection.
pub(crate) struct Peer {
    pub(crate) connection: Connection,
}

impl Peer {
    /// Accepts a stream, with its opening.
    pub(crate) async fn stream(&self) -> Served {
        let (send, receive) = soon(self.connection.accept_bi()).await.unwrap();
        Served::of(send, receive).await
    }

    /// Accepts a produce stream.
    pub(crate) async fn producer(&self, partitions: u32) -> Served {
        let mut stream = self.stream().await;
        assert_eq!(stream.kind, StreamKind::Produce);
        stream.reply(&ProduceOpened { partitions }).await;
        if stream.message::<ProduceOpen>().producer.is_none() {
            stream.registers_on = Some((self.connection.clone(), partitions));
        }
        stream
    }

    /// Accepts a subscribe stream of a partition that begins and ends here.
    pub(crate) async fn subscriber(&self, start: u64, end: u64) -> (Served, SubscribeOpen) {
        let mut stream = self.stream().await;
        let open = stream.message();
        stream.reply(&SubscribeOpened { start: Offset(start), end: Offset(end) }).await;
        (stream, open)
    }

    /// Closes the connection as a broker does.
    pub(crate) fn close(&self, code: u16, text: &str) {
        self.connection.close(VarInt::from_u32(code.into()), text.as_bytes());
    }
}

/// The broker's end of a stream.
pub(crate) struct Served {
    pub(crate) kind: StreamKind,
    opening: Bytes,
    pub(crate) reader: FrameReader,
    pub(crate) writer: FrameWriter,
    /// A producer that nobody knows may register here, and open its stream again as who it is.
    registers_on: Option<(Connection, u32)>,
}

impl Served {
    async fn of(send: quinn::SendStream, receive: quinn::RecvStream) -> Self {
        let everything = Accepts::of(logmill_wire::FrameType::ALL);
        let mut reader = FrameReader::new(receive, everything);
        match soon(reader.next()).await {
            Ok(Some(Frame::Open(kind, opening))) => {
                let writer = FrameWriter::new(send);
                Self { kind, opening, reader, writer, registers_on: None }
            }
            other => panic!("a stream that begins with {other:?}"),
        }
    }

    /// The message that opened it.
    pub(crate) fn message<M: Message>(&self) -> M {
        M::from_bytes(&self.opening).unwrap()
    }

    pub(crate) async fn send(&mut self, frame: &Frame) {
        soon(self.writer.send(frame)).await.unwrap();
    }

    pub(crate) async fn reply(&mut self, message: &impl Message) {
        self.send(&Frame::Reply(message.to_bytes().unwrap())).await;
    }

    pub(crate) async fn refuse(&mut self, fault: Fault) {
        self.send(&Frame::Fault(fault)).await;
    }

    /// Answers the registration of a producer.
    pub(crate) async fn register(&mut self, identity: ProducerIdentity) {
        assert!(matches!(self.message(), Request::ProducerRegister { .. }));
        self.reply(&Response::Producer(identity)).await;
        self.writer.finish();
    }

    /// The next frame; an append of one batch as the produce frame that it is but for its sequence.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        match self.next_as_it_is().await {
            Some(Frame::Append(Append { request, batches })) if batches.len() == 1 => {
                let AppendBatch { partition, crc, batch, .. } = batches.into_iter().next()?;
                Some(Frame::Produce(Produce { request, partition, crc, batch }))
            }
            other => other,
        }
    }

    pub(crate) async fn next_as_it_is(&mut self) -> Option<Frame> {
        if let Some((connection, partitions)) = self.registers_on.clone() {
            tokio::select! {
                frame = soon(self.reader.next()) => return frame.unwrap(),
                control = connection.accept_bi() => {
                    let (send, receive) = control.unwrap();
                    Self::of(send, receive).await.register(IDENTITY).await;
                }
            }
            *self = Peer { connection }.producer(partitions).await;
        }
        soon(self.reader.next()).await.unwrap()
    }

    /// The next append frame.
    pub(crate) async fn appended(&mut self) -> Append {
        match self.next_as_it_is().await {
            Some(Frame::Append(append)) => append,
            other => panic!("{other:?} is no append"),
        }
    }

    /// The next produce frame, with its batch checked.
    pub(crate) async fn produced(&mut self) -> (Produce, RecordBatch) {
        let frame = self.next().await;
        let Some(Frame::Produce(produce)) = frame else { panic!("{frame:?} is not a batch") };
        let batch = RecordBatch::check(produce.batch.clone(), produce.crc).unwrap();
        batch.decompressed(1 << 21).unwrap().check_produced(1 << 20).unwrap();
        (produce, batch)
    }

    pub(crate) async fn ack(&mut self, produce: &Produce, base_offset: u64) {
        let ack = Ack {
            request: produce.request,
            base_offset: Offset(base_offset),
            append_ts: Timestamp(1001),
            csn: Csn(7),
            epoch: Epoch(3),
            partition: produce.partition,
            shard: ShardId(0),
            was_there: false,
            duplicates: Vec::new(),
        };
        self.send(&Frame::Ack(ack)).await;
    }

    pub(crate) async fn progress(&mut self, next: u64, end: u64) {
        self.send(&Frame::Progress(Progress { next: Offset(next), end: Offset(end) })).await;
    }

    /// The next credit frame.
    pub(crate) async fn credited(&mut self) -> u64 {
        let frame = self.next().await;
        let Some(Frame::Credit(bytes)) = frame else { panic!("{frame:?} is not credit") };
        bytes
    }
}

/// A record with this value.
pub(crate) fn record(value: impl Into<Bytes>) -> Record {
    Record {
        key: None,
        value: Some(value.into()),
        headers: vec![Header::new("n", "v")],
        create_ts: Timestamp(1000),
    }
}

/// A record with this key and value.
pub(crate) fn keyed(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Record {
    Record { key: Some(key.into()), ..record(value) }
}

/// The data frame of these values from this offset on.
pub(crate) fn data(base_offset: u64, values: &[Bytes]) -> Data {
    let records: Vec<_> = values.iter().cloned().map(record).collect();
    let batch = RecordBatch::of(&records).unwrap();
    let envelope = Envelope {
        base_offset: Offset(base_offset),
        append_ts: Timestamp(1001),
        csn: Csn(7),
        producer: None,
        last_delta: batch.last_delta(),
        records: batch.record_count(),
        bytes: u32::try_from(batch.bytes().len()).unwrap(),
        crc: batch.crc(),
        rewritten: false,
        compression: Compression::None,
        hops: 0,
    };
    Data { envelope, batch: batch.bytes().clone() }
}
