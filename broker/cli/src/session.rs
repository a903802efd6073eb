//! What every command has at hand: stdout and the way to the broker.

use logmill_client::{Admin, Client, ConnectOptions};

use crate::{Failure, Hooks, Output};

/// One run of a command.
#[derive(Debug)]
pub struct Session {
    pub(crate) output: Output,
    pub(crate) hooks: Hooks,
    connect: Option<String>,
}

impl Session {
    pub(crate) fn new(output: Output, connect: Option<String>, hooks: Hooks) -> Self {
        Self { output, hooks, connect }
    }

    /// Connects to the broker that was named, else to the nearest.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        let options = ConnectOptions::discover(self.connect.as_deref())?;
        Ok(Client::connect(options.client_name("logmill")).await?)
    }

    /// Connects to ask for things or to change them.
    pub(crate) async fn admin(&self) -> Result<Admin, Failure> {
        Ok(self.client().await?.admin())
    }
}
