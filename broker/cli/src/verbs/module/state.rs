//! `logmill module state`.

use clap::Subcommand;
use logmill_model::{DeploymentName, StateEntry, StateQuery, TopicName};

use crate::record_json::StateJson;
use crate::{Failure, Output, Session, record_text};

/// Show what a module remembers: the keys and values of its lanes, as they are durable
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  logmill module state counter get orders\n  logmill module state counter ls --topic clicks"
)]
pub(crate) struct Args {
    /// The deployment
    name: DeploymentName,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Get(Get),
    Ls(Ls),
}

/// Show the value of a key, in each lane that has it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  logmill module state counter get orders --topic clicks --partition 0"
)]
struct Get {
    /// The key, as the module says it
    key: String,
    #[command(flatten)]
    lanes: Lanes,
}

/// List all keys and their values, lane by lane
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill module state counter ls -o json")]
struct Ls {
    #[command(flatten)]
    lanes: Lanes,
}

#[derive(Debug, clap::Args)]
struct Lanes {
    /// Only the lanes on this topic
    #[arg(long, value_name = "T")]
    topic: Option<TopicName>,
    /// Only the lanes on this partition of their topic
    #[arg(long, value_name = "P")]
    partition: Option<u32>,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let (key, Lanes { topic, partition }) = match self.what {
            What::Get(Get { key, lanes }) => (Some(key), lanes),
            What::Ls(Ls { lanes }) => (None, lanes),
        };
        let query = StateQuery { topic, partition, key, ..StateQuery::all(self.name) };
        let found = show_all(session, query.clone()).await?;
        match query.key {
            Some(key) if found == 0 => {
                let name = query.name;
                Err(anyhow::anyhow!("no lane of {name} that was asked for has the key {key:?}; `logmill module state {name} ls` lists the keys").into())
            }
            None if found == 0 => {
                let name = query.name;
                session.output.text(format_args!("{name} remembers nothing there"))
            }
            _ => Ok(()),
        }
    }
}

/// Prints page after page; tells how many keys there were.
async fn show_all(session: &mut Session, mut query: StateQuery) -> Result<usize, Failure> {
    let admin = session.admin().await?;
    let mut found = 0;
    loop {
        let page = admin.module_state(query.clone()).await?;
        let Some(last) = page.last() else { return Ok(found) };
        query.after = Some(last.place.clone());
        found += page.len();
        page.iter().try_for_each(|entry| show(&mut session.output, entry))?;
    }
}

fn show(output: &mut Output, entry: &StateEntry) -> Result<(), Failure> {
    output.json(&StateJson::from(entry))?;
    let StateEntry { place, value } = entry;
    let (key, value) = (record_text::escaped(&place.key), record_text::text(value));
    output.text(format_args!("{}/{}  {key}  {value}", place.topic, place.partition))
}
