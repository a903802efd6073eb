//! `logmill serve`: the broker.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use logmill_server::{Flags, Server, Settings};

use crate::broker::{self, MissingTopics, Stop};
use crate::connection_file::Announcement;
use crate::{Failure, Session};

/// Variables with the prefix of settings that say how commands connect, not how to serve.
const OF_COMMANDS: [&str; 2] = ["LOGMILL_TOKEN", "LOGMILL_FINGERPRINT"];

/// Run a broker
///
/// Prints one line `ready …` when it takes clients, and writes connection.json into the data
/// directory. SIGTERM and Ctrl-C stop it: it takes no more work, settles what runs, seals the
/// journal and ends within 10 s. One node, no replication yet.
///
/// Settings come from the file of --config (TOML), then from variables (LOGMILL_ and the key in
/// capitals), then from flags: data, listen, http, create_topics, tls_cert, tls_key, token_file,
/// connections_max, network_memory, retention_interval_ms, journal_file_bytes, reserve_bytes,
/// segment_bytes, cleaner_bytes_per_second, scrub_bytes_per_second. A broker takes three times
/// journal_file_bytes (128MiB) of the disk at least; when less than journal_file_bytes and
/// reserve_bytes (128MiB) together is free, it takes no records until there is space. Beyond
/// loopback, tls_cert, tls_key and token_file must be given. With create_topics = false a deploy is
/// refused whose topics are missing, instead of making them; produce never makes one. LOGMILL_LOG
/// says how much is logged, as in info or logmill_engine=debug.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill serve --data /var/lib/logmill")]
pub(crate) struct Args {
    /// The directory that holds everything; made when missing
    #[arg(long, value_name = "D")]
    data: Option<PathBuf>,
    /// A file of settings
    #[arg(long, value_name = "F")]
    config: Option<PathBuf>,
    /// Where clients connect (QUIC); 127.0.0.1:7460 unless set, port 0 takes a free one
    #[arg(long, value_name = "A:P")]
    listen: Option<SocketAddr>,
    /// Where people and monitors look (HTTP); 127.0.0.1:7461 unless set
    #[arg(long, value_name = "A:P")]
    http: Option<SocketAddr>,
}

impl Args {
    fn settings(&self) -> Result<Settings, Failure> {
        let flags = Flags {
            data: self.data.clone(),
            listen: self.listen,
            http: self.http,
            create_topics: None,
        };
        let environment: Vec<_> = std::env::vars_os().filter_map(setting).collect();
        let says_data = |(name, _): &(String, String)| name == "LOGMILL_DATA";
        if self.data.is_none() && self.config.is_none() && !environment.iter().any(says_data) {
            return Err(Failure::usage("no data directory; say where with --data D"));
        }
        let settings = Settings::load(self.config.as_deref(), environment, &flags);
        Ok(settings.map_err(anyhow::Error::from)?)
    }

    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let settings = self.settings()?;
        // Before anything is written, so that an early signal finds a handler.
        let mut stop = Stop::on_signals()?;
        let data = settings.data().to_owned();
        let starting = broker::start(settings, MissingTopics::Refuse, &session.hooks);
        let server = tokio::select! {
            server = starting => server?,
            () = stop.asked() => return Ok(()),
        };
        let announced = announce(&server, self.listen);
        let (quic, http) = (server.address(), server.http_address());
        session.output.json(&serde_json::json!({"quic": quic, "http": http, "data": data}))?;
        session
            .output
            .text(format_args!("ready quic={quic} http={http} data={}", data.display()))?;
        session.output.flush()?;
        let ended = server.run_until(stop.asked()).await;
        if let Some(announced) = announced {
            announced.withdraw();
        }
        Ok(ended.map_err(anyhow::Error::from)?)
    }
}

fn setting((name, value): (OsString, OsString)) -> Option<(String, String)> {
    let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
    (!OF_COMMANDS.contains(&name.as_str())).then_some((name, value))
}

/// A broker on a port of its own choice is somebody's private one, and the user's other commands
/// are not to find it by chance.
fn announce(server: &Server, asked: Option<SocketAddr>) -> Option<Announcement> {
    if asked.is_some_and(|address| address.port() == 0) || server.connection().token.is_none() {
        return None;
    }
    Announcement::for_user(server.connection()).unwrap_or_else(|failure| {
        // Convenience only: the file in the data directory is there.
        tracing::warn!(reason = failure.line(), "commands won't find this broker by themselves");
        None
    })
}
