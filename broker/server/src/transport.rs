//! QUIC's settings: tight for strangers, wider after the hello.
//!
//! quinn's defaults suit a web server: 100 streams, unlimited windows, 65,536 waiting handshakes of
//! 10 MiB each. Here all of it is bounded before a client has shown its token, and what a
//! client gets afterwards comes out of one budget, so that memory is planned however many come.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, limits};

/// The endpoint on this socket, which is bound to this address.
pub(crate) fn endpoint(
    tls: rustls::ServerConfig,
    socket: UdpSocket,
    address: SocketAddr,
) -> Result<Endpoint, Error> {
    let is_loopback = address.ip().is_loopback();
    let config = server_config(tls, is_loopback)?;
    let mut endpoint = EndpointConfig::default();
    if is_loopback {
        let set = endpoint.max_udp_payload_size(limits::LOOPBACK_MTU);
        set.expect("it is between 1,200 and 65,527");
    }
    Endpoint::new(endpoint, Some(config), socket, Arc::new(TokioRuntime))
        .map_err(|cause| Error::Listen { address, cause })
}

/// quinn's settings for connections of which nothing is known yet.
fn server_config(tls: rustls::ServerConfig, is_loopback: bool) -> Result<ServerConfig, Error> {
    let crypto = QuicServerConfig::try_from(tls)
        .map_err(|cause| Error::Make { what: "QUIC configuration", cause: cause.to_string() })?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(for_strangers(is_loopback)))
        .max_incoming(limits::INCOMING_MAX)
        .incoming_buffer_size(limits::INCOMING_BYTES_MAX)
        .incoming_buffer_size_total(limits::INCOMING_BYTES_TOTAL_MAX);
    Ok(config)
}

fn for_strangers(is_loopback: bool) -> TransportConfig {
    let idle = IdleTimeout::try_from(limits::IDLE_TIMEOUT).expect("seconds fit 62 bits of ms");
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(limits::STRANGER_STREAMS_MAX.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        // Fixed for a connection's life; the connection's own window is the smaller one at first.
        .stream_receive_window(limits::STREAM_WINDOW_BYTES.into())
        .receive_window(limits::STRANGER_WINDOW_BYTES.into())
        .send_window(limits::STRANGER_WINDOW_BYTES.into())
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(limits::KEEP_ALIVE));
    if is_loopback {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(limits::LOOPBACK_MTU);
        transport.initial_mtu(limits::LOOPBACK_MTU).mtu_discovery_config(Some(discovery));
    }
    transport
}

/// The memory for windows beyond what every client has anyway.
#[derive(Debug, Clone)]
pub(crate) struct WindowBudget {
    spare: Arc<Semaphore>,
}

impl WindowBudget {
    /// A budget of these bytes for this many clients.
    pub(crate) fn new(bytes: usize, connections_max: usize) -> Self {
        let floor = connections_max.saturating_mul(2 * limits::WINDOW_BYTES_MIN as usize);
        let spare = bytes.saturating_sub(floor).min(Semaphore::MAX_PERMITS);
        Self { spare: Arc::new(Semaphore::new(spare)) }
    }

    /// The largest window there is room for, each way, and what gives the room back.
    fn take(&self) -> (u32, Option<OwnedSemaphorePermit>) {
        limits::WINDOW_BYTES
            .into_iter()
            .find_map(|window| {
                let extra = 2 * (window - limits::WINDOW_BYTES_MIN);
                let room = Arc::clone(&self.spare).try_acquire_many_owned(extra).ok()?;
                Some((window, Some(room)))
            })
            .unwrap_or((limits::WINDOW_BYTES_MIN, None))
    }

    /// Widens the limits of a client that has said hello. What is returned must live as long as
    /// the connection.
    pub(crate) fn widen(&self, connection: &Connection) -> Option<OwnedSemaphorePermit> {
        let (window, room) = self.take();
        connection.set_receive_window(window.into());
        connection.set_send_window(window.into());
        connection.set_max_concurrent_bi_streams(limits::STREAMS_CREDIT.into());
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_shrink_as_clients_come_and_never_exceed_the_budget() {
        let (bytes, clients) = (64 << 20, 100);
        let budget = WindowBudget::new(bytes, clients);
        let windows: Vec<_> = (0..clients).map(|_| budget.take()).collect();
        let total: usize = windows.iter().map(|(window, _)| 2 * *window as usize).sum();
        assert!(total <= bytes, "{total}");
        assert_eq!(windows[0].0, limits::WINDOW_BYTES[0]);
        assert_eq!(windows[clients - 1].0, limits::WINDOW_BYTES_MIN);
        assert!(windows.is_sorted_by_key(|(window, _)| std::cmp::Reverse(*window)));
        drop(windows);
        assert_eq!(budget.take().0, limits::WINDOW_BYTES[0]);
    }
}
