//! A connection to a broker.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use logmill_model::TopicName;
use logmill_wire::{Accepts, Fault, Hello, StreamKind, Welcome};
use quinn::{Connection, ConnectionError, Endpoint, VarInt};
use tokio::sync::watch;

use crate::tls::{self, Refused};
use crate::{
    Admin, ConnectOptions, Error, Producer, ProducerOptions, SubscribeOptions, Subscriber, Trust,
    stream, transport,
};

/// A connection to a broker. Cheap to clone; producers and subscribers that were made from it keep
/// the connection open.
///
/// ```no_run
/// # async fn example() -> Result<(), logmill_client::Error> {
/// use logmill_client::{Client, ConnectOptions};
///
/// let client = Client::connect(ConnectOptions::discover(None)?).await?;
/// println!("connected to logmill {}", client.welcome().server);
/// client.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: ConnectOptions,
    welcome: Welcome,
    /// Held for a copy or a change only.
    link: Mutex<Link>,
    /// Held by whoever connects again.
    linking: tokio::sync::Mutex<()>,
    closed: watch::Sender<bool>,
}

/// A connection and its socket.
#[derive(Debug, Clone)]
struct Link {
    endpoint: Endpoint,
    connection: Connection,
}

impl Client {
    /// Connects and says hello.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Fingerprint`], [`Error::Options`]; [`Error::Refused`] when the
    /// broker does not take the token.
    pub async fn connect(options: ConnectOptions) -> Result<Self, Error> {
        let (link, welcome) = Link::establish(&options).await?;
        let (link, linking) = (Mutex::new(link), tokio::sync::Mutex::default());
        let closed = watch::Sender::new(false);
        Ok(Self { inner: Arc::new(Inner { options, welcome, link, linking, closed }) })
    }

    /// What the broker said of itself when this first connected to it.
    #[must_use]
    pub fn welcome(&self) -> &Welcome {
        &self.inner.welcome
    }

    /// Topics, deployments and status.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }

    /// Produces to a topic.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no such topic; [`Error::Disconnected`].
    pub async fn producer(&self, topic: TopicName) -> Result<Producer, Error> {
        self.producer_with(topic, ProducerOptions::default()).await
    }

    /// Produces to a topic, with bounds of one's own.
    ///
    /// # Errors
    /// As [`producer`](Self::producer).
    pub async fn producer_with(
        &self,
        topic: TopicName,
        options: ProducerOptions,
    ) -> Result<Producer, Error> {
        Producer::open(self, topic, options).await
    }

    /// Reads a topic.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no such topic, partition or filter;
    /// [`Error::Disconnected`].
    pub async fn subscribe(&self, options: SubscribeOptions) -> Result<Subscriber, Error> {
        Subscriber::open(self, options).await
    }

    /// Closes the connection, and waits until the broker has been told. What has no answer yet ends
    /// with an error: flush producers before.
    pub async fn close(self) {
        self.inner.closed.send_replace(true);
        let Link { endpoint, connection } = self.inner.link().clone();
        connection.close(VarInt::from_u32(0), b"done");
        endpoint.wait_idle().await;
    }

    /// The connection as it is now, lost or not.
    pub(crate) fn connection(&self) -> Connection {
        self.inner.link().connection.clone()
    }

    /// Connects again, in the place of a connection that is lost; if somebody else has, that is it.
    /// A broker that has told its address in a file is looked for where that says now.
    pub(crate) async fn reconnect(&self, lost: &Connection) -> Result<Connection, Error> {
        let _turn = self.inner.linking.lock().await;
        let now = self.connection();
        if now.stable_id() != lost.stable_id() || now.close_reason().is_none() {
            return Ok(now);
        }
        let (link, _) = Link::establish(&self.inner.options.reloaded()).await?;
        let connection = link.connection.clone();
        *self.inner.link() = link;
        if *self.inner.closed.borrow() {
            connection.close(VarInt::from_u32(0), b"done");
        }
        Ok(connection)
    }

    /// Waits, unless the client is closed.
    pub(crate) async fn closed_or(&self, wait: Duration) -> Result<(), Error> {
        let mut closed = self.inner.closed.subscribe();
        let closing = closed.wait_for(|closed| *closed);
        match tokio::time::timeout(wait, closing).await {
            Err(_) => Ok(()),
            Ok(_) => Err(Error::Options("the client was closed".to_owned())),
        }
    }
}

impl Inner {
    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    async fn establish(options: &ConnectOptions) -> Result<(Self, Welcome), Error> {
        let linked = async {
            let (endpoint, connection) = shake_hands(options).await?;
            let welcome = hello(&connection, options).await?;
            let remote = connection.remote_address();
            tracing::debug!(address = %remote, server = %welcome.server, epoch = %welcome.epoch, "connected");
            Ok((Self { endpoint, connection }, welcome))
        };
        match tokio::time::timeout(options.timeout, linked).await {
            Ok(result) => result,
            Err(_) => {
                let seconds = options.timeout.as_secs_f32();
                Err(failed(options, format!("no answer within {seconds} s; is it running?")))
            }
        }
    }
}

/// Connects, with TLS and nothing else.
pub(crate) async fn shake_hands(options: &ConnectOptions) -> Result<(Endpoint, Connection), Error> {
    let remote = resolve(options).await?;
    let refused = Refused::default();
    let tls = tls::client_config(&options.trust, &refused)?;
    let endpoint = transport::endpoint(remote)?;
    let config = transport::client_config(tls, remote)?;
    let connection = endpoint
        .connect_with(config, remote, host_of(&options.address))
        .map_err(|error| failed(options, error.to_string()))?
        .await
        .map_err(|error| handshake_failed(options, &refused, error))?;
    Ok((endpoint, connection))
}

async fn resolve(options: &ConnectOptions) -> Result<SocketAddr, Error> {
    let found: Vec<_> = tokio::net::lookup_host(&options.address)
        .await
        .map_err(|error| failed(options, error.to_string()))?
        .collect();
    // `localhost` is often ::1 first, while brokers listen on 127.0.0.1 unless told.
    let local = found.iter().find(|address| address.is_ipv4() && address.ip().is_loopback());
    let chosen = local.or_else(|| found.first()).copied();
    chosen.ok_or_else(|| failed(options, "the host has no address".to_owned()))
}

/// The host of `HOST:PORT`, without the brackets of an IPv6 address.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

fn failed(options: &ConnectOptions, reason: String) -> Error {
    Error::Connect { address: options.address.clone(), origin: options.origin.clone(), reason }
}

fn handshake_failed(options: &ConnectOptions, refused: &Refused, error: ConnectionError) -> Error {
    if let (Trust::Fingerprint(expected), Some(found)) = (&options.trust, refused.get()) {
        let address = options.address.clone();
        return Error::Fingerprint { address, expected: *expected, found: *found };
    }
    failed(options, error.to_string())
}

async fn hello(connection: &Connection, options: &ConnectOptions) -> Result<Welcome, Error> {
    let hello = Hello {
        version: logmill_wire::VERSION,
        client: options.client_name.clone(),
        token: options.token.clone(),
    };
    let (mut writer, mut reader) = stream::open(connection, StreamKind::Hello, &hello).await?;
    writer.finish();
    let welcome: Welcome = match reader.reply(Accepts::of(&[])).await {
        Ok(welcome) => welcome,
        // The broker's goodbye can overtake its answer; both give the reason.
        Err(Error::Disconnected { code: Some(code), reason }) => {
            return Err(Fault::new(code, reason).into());
        }
        Err(Error::Disconnected { code: None, reason }) => return Err(failed(options, reason)),
        Err(error) => return Err(error),
    };
    if welcome.version != logmill_wire::VERSION {
        return Err(Error::Protocol(format!("it speaks version {}", welcome.version)));
    }
    Ok(welcome)
}

#[cfg(test)]
mod tests;
