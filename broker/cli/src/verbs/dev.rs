//! `logmill dev`: a broker for the time of one's work, and a project that runs on it.

mod development;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use bytesize::ByteSize;
use logmill_client::{Client, ConnectOptions, ConnectionFile};
use logmill_server::{Config, Server};

use crate::broker::{self, Data, MissingTopics, Stop};
use crate::connection_file::Announcement;
use crate::project::Target;
use crate::{Failure, Session};

use development::Development;

/// Small, since a journal takes the space of three files at least, and this disk is a laptop's.
const JOURNAL_FILE_BYTES: ByteSize = ByteSize::mib(32);

/// Run a broker for development, and a project on it
///
/// The broker is that of serve, on loopback, with topics made on demand; it syncs to the disk like
/// serve does. Commands in this folder and below find it by themselves. With DIR it builds and
/// deploys the folder's modules, feeds them the input once, and shows what they log and decide;
/// `r` and Enter feeds them again. Ctrl-C ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill dev\n  logmill dev examples/github-triage")]
pub(crate) struct Args {
    /// A folder with a logmill.toml
    dir: Option<PathBuf>,
    /// Keep the data in this directory; it is temporary otherwise
    #[arg(long, value_name = "D")]
    data: Option<PathBuf>,
}

impl Args {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        // Looked at first, so that a wrong path starts nothing.
        let target = self.dir.as_deref().map(Target::of).transpose()?;
        let here = std::env::current_dir().context("can't tell the current folder")?;
        refuse_second(&here).await?;
        let mut stop = Stop::on_signals()?;
        let data = Data::of(self.data, "logmill-dev-")?;
        let journal_file_bytes = JOURNAL_FILE_BYTES;
        let settings =
            broker::private_settings(Config { journal_file_bytes, ..Config::new(data.path()) })?;
        let server = broker::start(settings, MissingTopics::Create, &session.hooks).await?;
        let announced = Announcement::in_project(&here, server.connection())?;
        let done = work(session, &server, &data, target, &mut stop).await;
        announced.withdraw();
        let ended = server.shutdown().await;
        drop(data);
        done?;
        Ok(ended.map_err(anyhow::Error::from)?)
    }
}

/// A second broker for a folder would take over its commands from the first.
async fn refuse_second(here: &Path) -> Result<(), Failure> {
    let file = here.join(".logmill/connection.json");
    let Ok(connection) = ConnectionFile::load(&file) else { return Ok(()) };
    let address = connection.address.clone();
    let options = ConnectOptions::from(connection).connect_timeout(Duration::from_secs(1));
    if let Ok(client) = Client::connect(options).await {
        client.close().await;
        return Err(Failure::Failed(anyhow::anyhow!(
            "a broker runs for this folder already, at {address}; use it (`logmill module deploy DIR` deploys to it), or stop it first"
        )));
    }
    Ok(())
}

/// What happens between the start of the broker and its end.
async fn work(
    session: &mut Session,
    server: &Server,
    data: &Data,
    target: Option<Target>,
    stop: &mut Stop,
) -> Result<(), Failure> {
    let (quic, http) = (server.address(), server.http_address());
    let path = data.path();
    session.output.json(&serde_json::json!({"quic": quic, "http": http, "data": path}))?;
    session.output.text(format_args!("ready quic={quic} http={http} data={}", path.display()))?;
    session.output.text("Commands in this folder find it by themselves. Ctrl-C ends it.")?;
    session.output.flush()?;
    let development = async {
        match target {
            Some(target) => {
                let options = broker::options_of(server)?.client_name("logmill dev");
                session.use_client(Client::connect(options).await?);
                Development::begin(session, target).await?.go_on(session).await
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        done = development => done,
        () = stop.asked() => Ok(()),
        failure = server.engine().failed() => Err(anyhow::anyhow!("the journal failed: {failure}").into()),
    }
}
