//! The network alone: a connection with the settings of a client, and no protocol on it.

use quinn::{Connection, Endpoint, VarInt};

use crate::client::shake_hands;
use crate::{ConnectOptions, Error};

/// A QUIC connection with the settings of a [`Client`](crate::Client) and nothing said on it, for a
/// benchmark that tells what the network alone could do. Applications have no use for it, and a
/// broker takes no connection without a hello.
#[derive(Debug)]
pub struct RawConnection {
    endpoint: Endpoint,
    connection: Connection,
}

impl RawConnection {
    /// Connects.
    ///
    /// # Errors
    /// As [`Client::connect`](crate::Client::connect).
    pub async fn open(options: &ConnectOptions) -> Result<Self, Error> {
        let (endpoint, connection) = shake_hands(options).await?;
        Ok(Self { endpoint, connection })
    }

    /// The connection.
    #[must_use]
    pub fn quic(&self) -> &Connection {
        &self.connection
    }

    /// Closes it, and waits until the other end has been told.
    pub async fn close(self) {
        self.connection.close(VarInt::from_u32(0), b"done");
        self.endpoint.wait_idle().await;
    }
}
