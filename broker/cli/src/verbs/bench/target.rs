//! Which broker is measured: one that runs, or one that this command starts.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use logmill_client::{Client, ConnectOptions, ConnectionFile, Error};
use logmill_model::TopicName;
use logmill_server::{Config, Server};

use super::machine::{file_system_of, is_memory};
use crate::broker::{self, Data, MissingTopics};
use crate::{Failure, Session};

const CLIENT: &str = "logmill bench";

/// A broker to measure.
pub(super) struct Target {
    pub(super) options: ConnectOptions,
    own: Option<(Server, Data)>,
    /// Where its data lies on this machine, else why that is not known.
    pub(super) data: Result<PathBuf, &'static str>,
}

impl Target {
    /// The broker that was named, else the nearest, else one that is started: on `data` when that
    /// is given, and then in any case.
    pub(super) async fn find(session: &Session, data: Option<PathBuf>) -> Result<Self, Failure> {
        if let Some(data) = data {
            if let Some(named) = session.named() {
                let text = format!("--data starts a broker, and --connect names one: {named}");
                return Err(Failure::Usage(text));
            }
            return Self::start(session, Data::Kept(data)).await;
        }
        match session.discover() {
            Ok(options) => Ok(Self::running(options.client_name(CLIENT))),
            Err(Error::NoBroker) => Self::start(session, temporary_data()?).await,
            Err(error) => Err(error.into()),
        }
    }

    async fn start(session: &Session, data: Data) -> Result<Self, Failure> {
        let settings = broker::private_settings(Config::new(data.path()))?;
        let server = broker::start(settings, MissingTopics::Refuse, &session.hooks).await?;
        let options = broker::options_of(&server)?.client_name(CLIENT);
        Ok(Self { options, data: Ok(data.path()), own: Some((server, data)) })
    }

    fn running(options: ConnectOptions) -> Self {
        let data = data_here(&options).ok_or("the broker's data is not known on this machine");
        Self { options, own: None, data }
    }

    /// What a person is told of it.
    pub(super) fn told(&self) -> String {
        let address = self.options.address();
        match (&self.own, &self.data) {
            (Some((_, Data::Temporary(_))), _) => {
                "started for this run, in this process; its data is temporary".to_owned()
            }
            (Some((_, Data::Kept(path))), _) => {
                format!("started for this run, in this process, on {}", path.display())
            }
            (None, Ok(path)) => format!("the one at {address}, on {}", path.display()),
            (None, Err(why)) => format!("the one at {address}; {why}"),
        }
    }

    /// How a script is told of it.
    pub(super) fn name(&self) -> String {
        if self.own.is_some() { "in-process".to_owned() } else { self.options.address().to_owned() }
    }

    /// Bytes made durable and syncs so far, where it can be asked: in this process.
    pub(super) fn synced(&self) -> Option<(u64, u64)> {
        let stats = self.own.as_ref()?.0.engine().log_stats();
        Some((stats.bytes, stats.syncs))
    }

    /// Makes a topic of its own for the run.
    pub(super) async fn create_topic(&self, partitions: u32) -> Result<TopicName, Failure> {
        let client = Client::connect(self.options.clone()).await?;
        let started = logmill_engine::clock::now().0;
        let topic: TopicName = format!("bench-{started}-{}", std::process::id())
            .parse()
            .context("can't name a topic")?;
        client.admin().create_topic(topic.clone(), partitions).await?;
        client.close().await;
        Ok(topic)
    }

    /// Takes the topic away, and ends a broker that was started.
    pub(super) async fn clean_up(self, topic: TopicName) -> Result<(), Failure> {
        let deleted = async {
            let client = Client::connect(self.options.clone()).await?;
            client.admin().delete_topic(topic).await?;
            client.close().await;
            Ok::<_, Error>(())
        };
        let deleted = deleted.await;
        self.end().await?;
        Ok(deleted?)
    }

    /// Ends a broker that was started.
    pub(super) async fn end(self) -> Result<(), Failure> {
        let Some((server, data)) = self.own else { return Ok(()) };
        let ended = server.shutdown().await;
        drop(data);
        Ok(ended.map_err(anyhow::Error::from)?)
    }
}

/// A temporary folder; where these are in memory, one in the current folder, since a figure of a
/// disk is what is wanted.
fn temporary_data() -> Result<Data, Failure> {
    let folder = std::env::temp_dir();
    let is_memory = file_system_of(&folder).is_some_and(|kind| is_memory(&kind));
    let folder = if is_memory { std::env::current_dir().context("no folder")? } else { folder };
    Data::temporary(&folder, ".logmill-bench-")
}

/// The data directory that the connection file names, if it is on this machine and the broker's:
/// then the same address stands in the file in it.
fn data_here(options: &ConnectOptions) -> Option<PathBuf> {
    let data: &Path = options.data()?;
    let there = ConnectionFile::load(&data.join("connection.json")).ok()?;
    (there.address == options.address()).then(|| data.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_brokers_own_directory_counts_as_its_data() {
        let data = tempfile::tempdir().unwrap();
        let write = |path: &Path, address: &str| {
            let json = serde_json::json!({
                "address": address, "token": "t", "data": data.path(),
                "fingerprint": "00".repeat(32),
            });
            std::fs::write(path, json.to_string()).unwrap();
        };
        let elsewhere = tempfile::tempdir().unwrap();
        let file = elsewhere.path().join("connection.json");
        write(&file, "broker.example:1");
        let options = || ConnectOptions::from(ConnectionFile::load(&file).unwrap());
        assert_eq!(data_here(&options()), None);
        let there = data.path().join("connection.json");
        write(&there, "other.example:1");
        assert_eq!(data_here(&options()), None);
        write(&there, "broker.example:1");
        assert_eq!(data_here(&options()), Some(data.path().to_owned()));
    }
}
