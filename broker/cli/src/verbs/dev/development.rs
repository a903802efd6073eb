//! A project at work on a broker: built, deployed, fed, and told of as it goes.

use std::collections::HashMap;

use logmill_client::Client;
use logmill_model::{DeploymentDescription, DeploymentName, World};
use tokio::sync::mpsc;

use crate::feed::Feed;
use crate::input::Records;
use crate::project::{self, Target};
use crate::verbs::module::deploy::{self, Flags};
use crate::verbs::module::describe::counts;
use crate::verbs::module::{logs, ls};
use crate::verbs::produce::{Sent, send_all};
use crate::{Failure, Session};

use super::watch::{self, Event};

/// A project whose modules are deployed.
pub(super) struct Development {
    client: Client,
    feed: Option<Feed>,
    names: Vec<DeploymentName>,
    /// What was told of each deployment last.
    told: HashMap<DeploymentName, String>,
}

impl Development {
    /// Builds and deploys the modules.
    pub(super) async fn begin(session: &mut Session, target: Target) -> Result<Self, Failure> {
        let client = session.client().await?;
        let feed = target.input.as_ref().map(Feed::of).transpose()?;
        let mut ready = Vec::with_capacity(target.modules.len());
        for module in target.modules {
            let component = project::component(&module).await?;
            ready.push((module, component));
        }
        let mut names = Vec::with_capacity(ready.len());
        for (module, component) in ready {
            let admin = client.admin();
            let deployed = deploy::deploy(&admin, &module, component, &Flags::default()).await?;
            session.output.json(&deployed)?;
            session.output.text(deploy::told(&deployed))?;
            names.push(deployed.name);
        }
        Ok(Self { client, feed, names, told: HashMap::new() })
    }

    /// Feeds the modules and tells what they do, for as long as it is let.
    pub(super) async fn go_on(mut self, session: &mut Session) -> Result<(), Failure> {
        let mut events = watch::start(&self.client, &self.names);
        self.feed(session).await?;
        while let Some(event) = next(session, &mut events).await? {
            match event {
                Event::Logged(name, lines) => {
                    lines
                        .iter()
                        .try_for_each(|line| logs::show(&mut session.output, &name, line))?;
                }
                Event::Described(deployments) => self.tell(session, &deployments)?,
                Event::Again => self.feed(session).await?,
                Event::Failed(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Produces the input.
    async fn feed(&self, session: &mut Session) -> Result<(), Failure> {
        let Some(Feed { topic, source, mapping }) = &self.feed else { return Ok(()) };
        let records = Records::open(source, mapping.clone())?;
        let producer = self.client.producer(topic.clone()).await?;
        let Sent { records, .. } = send_all(&producer, None, records, &mut |_| {}).await?;
        session.output.json(&serde_json::json!({"topic": topic, "records": records}))?;
        session
            .output
            .text(format_args!("fed {records} records to {topic}; r and Enter does it again"))
    }

    /// Tells what has become of the records, when it is something new.
    fn tell(
        &mut self,
        session: &mut Session,
        deployments: &[DeploymentDescription],
    ) -> Result<(), Failure> {
        for it in deployments.iter().filter(|it| self.names.contains(&it.name)) {
            let mut now = match &it.reason {
                Some(reason) => format!("{}: {reason}", it.state.as_str()),
                None => it.state.as_str().to_owned(),
            };
            if it.world == World::Consumer {
                now = format!("{now}, {}, lag {}", counts(&it.counts), ls::lag(it));
            }
            if self.told.get(&it.name) != Some(&now) {
                session.output.json(&serde_json::json!({
                    "deployment": it.name, "state": it.state, "reason": it.reason,
                    "counts": it.counts, "lag": ls::lag(it),
                }))?;
                session.output.text(format_args!("{}: {now}", it.name))?;
                self.told.insert(it.name.clone(), now);
            }
        }
        Ok(())
    }
}

/// The next event; what was told is seen before there is a wait for it.
async fn next(
    session: &mut Session,
    events: &mut mpsc::Receiver<Event>,
) -> Result<Option<Event>, Failure> {
    if let Ok(event) = events.try_recv() {
        return Ok(Some(event));
    }
    session.output.flush()?;
    Ok(events.recv().await)
}
