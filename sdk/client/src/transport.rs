//! QUIC's settings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TokioRuntime,
    TransportConfig, VarInt,
};

use crate::Error;

const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// How long a broker that died without a word goes unnoticed: producers then connect again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// What the broker may have on its way on one stream, in bytes.
const STREAM_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// What the broker may have on its way on all streams, in bytes.
const WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// What may be on its way to the broker, in bytes.
const SEND_WINDOW_BYTES: u64 = 16 * 1024 * 1024;
/// Datagrams on loopback: twice the throughput of those that fit Ethernet. At 8952 it collapses.
const LOOPBACK_MTU: u16 = 4096;

const _: () = assert!(STREAM_WINDOW_BYTES < WINDOW_BYTES);
const _: () = assert!(KEEP_ALIVE.as_secs() * 2 < IDLE_TIMEOUT.as_secs());

fn is_loopback(remote: SocketAddr) -> bool {
    remote.ip().to_canonical().is_loopback()
}

/// A socket for one connection to this address.
pub(crate) fn endpoint(remote: SocketAddr) -> Result<Endpoint, Error> {
    let failed = |error: std::io::Error| Error::Options(format!("can't open a socket: {error}"));
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let mut config = EndpointConfig::default();
    if is_loopback(remote) {
        config.max_udp_payload_size(LOOPBACK_MTU).expect("4096 is between 1200 and 65,527");
    }
    let socket = UdpSocket::bind((any, 0)).map_err(failed)?;
    Endpoint::new(config, None, socket, Arc::new(TokioRuntime)).map_err(failed)
}

/// quinn's settings for a connection to this address.
pub(crate) fn client_config(
    tls: rustls::ClientConfig,
    remote: SocketAddr,
) -> Result<ClientConfig, Error> {
    let crypto = QuicClientConfig::try_from(tls)
        .map_err(|error| Error::Options(format!("TLS can't be set up: {error}")))?;
    let idle = IdleTimeout::try_from(IDLE_TIMEOUT).expect("seconds fit 62 bits of ms");
    let mut transport = TransportConfig::default();
    transport
        // Only clients open streams.
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(STREAM_WINDOW_BYTES.into())
        .receive_window(WINDOW_BYTES.into())
        .send_window(SEND_WINDOW_BYTES)
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(KEEP_ALIVE));
    if is_loopback(remote) {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(LOOPBACK_MTU);
        transport.initial_mtu(LOOPBACK_MTU).mtu_discovery_config(Some(discovery));
    }
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    Ok(config)
}
