//! The network alone: an endpoint with the settings that clients of a broker meet, and no broker
//! behind it, so that a benchmark can tell what the network could do. **It hears no hello and serves
//! nothing.**

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use quinn::{Connection, Endpoint};
use tokio::sync::OwnedSemaphorePermit;

use crate::identity::Identity;
use crate::transport::{self, WindowBudget};
use crate::{Error, Settings};

/// An endpoint on loopback.
pub struct RawEndpoint {
    endpoint: Endpoint,
    address: SocketAddr,
    fingerprint: String,
    windows: WindowBudget,
}

/// A connection to it, with the windows of a client that has said hello.
pub struct RawConnection {
    /// The connection.
    pub quic: Connection,
    _window: Option<OwnedSemaphorePermit>,
}

impl RawEndpoint {
    /// Opens one on a port of its own, as a broker with these settings would.
    ///
    /// # Errors
    /// [`Error::Listen`], [`Error::Make`], [`Error::Tls`].
    pub fn on_loopback(settings: &Settings) -> Result<Self, Error> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let refused = |cause| Error::Listen { address: wanted, cause };
        let socket = UdpSocket::bind(wanted).map_err(refused)?;
        let address = socket.local_addr().map_err(refused)?;
        let identity = Identity::passing()?;
        let fingerprint = identity.fingerprint();
        let tls = identity.into_tls(logmill_wire::ALPN)?;
        Ok(Self {
            endpoint: transport::endpoint(tls, socket, address)?,
            address,
            fingerprint,
            windows: WindowBudget::new(settings.window_bytes, settings.connections_max),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate that it shows.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The next connection that shakes hands; None when that fails, or the endpoint is closed.
    pub async fn accept(&self) -> Option<RawConnection> {
        let quic = self.endpoint.accept().await?.await.ok()?;
        let window = self.windows.widen(&quic);
        Some(RawConnection { quic, _window: window })
    }
}
