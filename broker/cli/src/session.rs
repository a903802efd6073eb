//! What every command has at hand: stdout and the way to the broker.

use std::time::Duration;

use logmill_client::{Admin, Client, ConnectOptions};

use crate::{Failure, Hooks, Output};

const GOODBYE: Duration = Duration::from_millis(10);

/// One run of a command.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) output: Output,
    pub(crate) hooks: Hooks,
    connect: Option<String>,
    client: Option<Client>,
}

impl Session {
    pub(crate) fn new(output: Output, connect: Option<String>, hooks: Hooks) -> Self {
        Self { output, hooks, connect, client: None }
    }

    /// The connection to the broker that was named, else to the nearest; made at the first call.
    pub(crate) async fn client(&mut self) -> Result<Client, Failure> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let options = self.discover()?;
        let client = Client::connect(options.client_name("logmill")).await?;
        Ok(self.client.insert(client).clone())
    }

    /// How to connect to the broker that was named, else to the nearest.
    pub(crate) fn discover(&self) -> Result<ConnectOptions, logmill_client::Error> {
        ConnectOptions::discover(self.connect.as_deref())
    }

    /// The broker that was named on the command line.
    pub(crate) fn named(&self) -> Option<&str> {
        self.connect.as_deref()
    }

    /// Talks to a broker that this command has started.
    pub(crate) fn use_client(&mut self, client: Client) {
        self.client = Some(client);
    }

    /// The way to ask for things and to change them.
    pub(crate) async fn admin(&mut self) -> Result<Admin, Failure> {
        Ok(self.client().await?.admin())
    }

    /// Tells the broker that it is over, so that it holds nothing for this client any longer.
    pub(crate) async fn close(self) {
        if let Some(client) = self.client {
            // The goodbye leaves at once; the time after it would only be for sending it again.
            let _ = tokio::time::timeout(GOODBYE, client.close()).await;
        }
    }
}
