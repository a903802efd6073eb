//! A running server, from its first file to its last goodbye.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use logmill_engine::{Engine, Options};
use logmill_model::SpaceLevel;
use quinn::{Endpoint, VarInt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::broker::Broker;
use crate::config::{Certificate, Tokens};
use crate::connection_file::{ConnectionFile, reachable};
use crate::http::Monitored;
use crate::identity::Identity;
use crate::token::TokenSet;
use crate::{
    Error, Settings, endpoint, fault, http, limits, metrics, placement, private_file, transport,
};

/// Where in the data directory the server keeps its own files.
pub(crate) const DIRECTORY: &str = "server";
pub(crate) const IDENTITY_FILE: &str = "identity.pem";
pub(crate) const TOKEN_FILE: &str = "admin.token";
pub(crate) const CONNECTION_FILE: &str = "connection.json";

/// A server that runs, until [`shutdown`](Self::shutdown). When it is only dropped, it takes no more
/// work, but nothing is settled and the journal is not sealed.
pub struct Server {
    address: SocketAddr,
    connection: ConnectionFile,
    engine: Engine,
    endpoint: Endpoint,
    accepting: JoinHandle<()>,
    stop: watch::Sender<bool>,
    side_door: SideDoor,
}

/// The HTTP side door: open before the engine is, and until everything else has ended.
struct SideDoor {
    address: SocketAddr,
    state: Arc<State>,
    serving: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

/// What the side door tells of.
struct State {
    /// Set when it has recovered.
    engine: OnceLock<Engine>,
    stopping: watch::Receiver<bool>,
}

impl Monitored for State {
    fn ready(&self) -> Result<SpaceLevel, String> {
        if *self.stopping.borrow() {
            return Err("the broker is shutting down".to_owned());
        }
        let engine = self.engine.get().ok_or_else(|| "the log is being recovered".to_owned())?;
        engine.ready()?;
        Ok(engine.space_level())
    }

    fn refresh_metrics(&self) {
        if let Some(engine) = self.engine.get() {
            metrics::poll(engine);
            metrics::poll_lags(engine);
        }
    }
}

/// Makes a data directory, and those above it, for its owner only. One that exists stays as it is.
///
/// # Errors
/// [`Error::File`].
pub fn create_data_directory(path: &Path) -> Result<(), Error> {
    private_file::create_directory(path)
}

/// Starts a server: its addresses and side door, then the engine (which takes the data directory's lock and
/// recovers), then the endpoint. When this returns, clients can connect. `create_topics` of the
/// options is that of the settings.
///
/// # Errors
/// Whatever kept it from starting; nothing runs then, and when the engine did not open, nothing in
/// the data directory has changed.
pub async fn serve(settings: Settings, options: Options) -> Result<Server, Error> {
    placement::check(&settings)?;
    let (stop, stopping) = watch::channel(false);
    // Both addresses first: where one is taken, the data directory is not touched.
    let socket = UdpSocket::bind(settings.listen)
        .map_err(|cause| Error::Listen { address: settings.listen, cause })?;
    let side_door = SideDoor::open(settings.http, stopping.clone()).await?;
    let options = Options { create_topics: settings.create_topics, ..options };
    let engine = match Engine::open(options).await {
        Ok(engine) => engine,
        Err(error) => {
            side_door.close().await;
            return Err(error.into());
        }
    };
    // Set once, here.
    let _ = side_door.state.engine.set(engine.clone());
    match listen(&settings, &engine, socket, side_door.address, stopping) {
        Ok((endpoint, address, connection, broker)) => {
            let accepting = tokio::spawn(endpoint::accept(broker, endpoint.clone()));
            info!(%address, http = %side_door.address, epoch = %engine.epoch(), "ready");
            Ok(Server { address, connection, engine, endpoint, accepting, stop, side_door })
        }
        Err(error) => {
            if let Err(also) = engine.shutdown().await {
                warn!(error = %also, "the engine did not close in order");
            }
            side_door.close().await;
            Err(error)
        }
    }
}

type Listening = (Endpoint, SocketAddr, ConnectionFile, Arc<Broker>);

/// Prepares the server's own files and opens the endpoint.
fn listen(
    settings: &Settings,
    engine: &Engine,
    socket: UdpSocket,
    http: SocketAddr,
    stopping: watch::Receiver<bool>,
) -> Result<Listening, Error> {
    let directory = settings.data.join(DIRECTORY);
    private_file::create_directory(&directory)?;
    let identity = match &settings.certificate {
        Certificate::Made => Identity::made(&directory.join(IDENTITY_FILE))?,
        Certificate::Given { chain, key } => Identity::given(chain, key)?,
    };
    let (tokens, token) = match &settings.tokens {
        Tokens::Made => {
            let (tokens, token) = TokenSet::made(&directory.join(TOKEN_FILE))?;
            (tokens, Some(token))
        }
        Tokens::Given(path) => (TokenSet::read(path)?, None),
    };
    let fingerprint = identity.fingerprint();
    let address =
        socket.local_addr().map_err(|cause| Error::Listen { address: settings.listen, cause })?;
    let endpoint = transport::endpoint(identity.into_tls(logmill_wire::ALPN)?, socket, address)?;
    let data = settings.data.canonicalize();
    let connection = ConnectionFile {
        address: reachable(address),
        http: reachable(http),
        fingerprint,
        token,
        data: data.map_err(|cause| Error::file("find", &settings.data, cause))?,
    };
    connection.write(&settings.data.join(CONNECTION_FILE))?;
    let broker = Arc::new(Broker::new(engine.clone(), tokens, settings, stopping));
    Ok((endpoint, address, connection, broker))
}

impl Server {
    /// Where clients connect: the real port, when 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the HTTP side door is.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.side_door.address
    }

    /// What was written to `connection.json`.
    #[must_use]
    pub fn connection(&self) -> &ConnectionFile {
        &self.connection
    }

    /// The engine that it serves.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Serves until `stop` resolves, then shuts down; or until the journal fails, which nothing
    /// can mend while the process runs.
    ///
    /// # Errors
    /// [`Error::Journal`] when the journal has failed: the process must exit and say so; else as
    /// [`shutdown`](Self::shutdown).
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let failure = tokio::select! {
            biased;
            failure = self.engine.failed() => failure,
            () = stop => return self.shutdown().await,
        };
        error!(failure, "the journal has failed; the broker stops");
        self.stop.send_replace(true);
        self.say_goodbye(limits::GOODBYE_DEADLINE).await;
        Err(Error::Journal(failure))
    }

    /// Stops taking connections and work, settles what runs, seals the journal, answers what was in
    /// flight, and closes all connections with a reason. Takes ten seconds at most.
    ///
    /// # Errors
    /// [`Error::Unsettled`] when the engine did not come to rest in time; [`Error::Engine`] when the
    /// journal was not sealed. What was acknowledged is safe in either case.
    pub async fn shutdown(self) -> Result<(), Error> {
        info!("shutting down");
        self.stop.send_replace(true);
        let settled = timeout(limits::SETTLE_DEADLINE, self.engine.shutdown()).await;
        self.say_goodbye(limits::GOODBYE_DEADLINE).await;
        match settled {
            Ok(settled) => settled.map_err(Error::Engine),
            Err(_) => Err(Error::Unsettled { seconds: limits::SETTLE_DEADLINE.as_secs() }),
        }
    }

    /// Lets the last answers leave, then closes what is open. Takes twice `limit` at most.
    async fn say_goodbye(self, limit: Duration) {
        let mut accepting = self.accepting;
        if timeout(limit, &mut accepting).await.is_err() {
            accepting.abort();
        }
        let fault = fault::shutting_down();
        let code = VarInt::from_u32(fault.code.number().into());
        self.endpoint.close(code, fault.text.as_bytes());
        if timeout(limit, self.endpoint.wait_idle()).await.is_err() {
            warn!("some clients did not confirm the end of their connections");
        }
        self.side_door.close().await;
    }
}

impl SideDoor {
    async fn open(address: SocketAddr, stopping: watch::Receiver<bool>) -> Result<Self, Error> {
        let refused = |cause| Error::Listen { address, cause };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        metrics::registry();
        let state = Arc::new(State { engine: OnceLock::new(), stopping });
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(http::serve(listener, Arc::clone(&state) as _, stopped));
        let upkeep = tokio::spawn(metrics::keep_up());
        Ok(Self { address, state, serving, upkeep, stop })
    }

    async fn close(self) {
        self.upkeep.abort();
        self.stop.send_replace(true);
        let mut serving = self.serving;
        if timeout(limits::GOODBYE_DEADLINE, &mut serving).await.is_err() {
            serving.abort();
        }
    }
}
