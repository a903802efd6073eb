//! The demo's steps, one after the other.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use logmill_client::Client;
use logmill_model::{DeploymentDescription, DeploymentName, DeploymentStatus, TopicName};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::child::Broker;
use super::deliveries::{self, Delivery};
use super::example::{Built, Example};
use super::ledger::{self, Account, Row};
use super::progress::Progress;
use super::table;
use crate::verbs::module::deploy::{self, Flags};
use crate::verbs::module::ls;
use crate::{Failure, Output, Session};

/// How long each of the two halves of the work may take.
const WORK_WITHIN: Duration = Duration::from_secs(120);
/// How often the broker is asked how far it is: often, so that the kill comes in the middle.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How it ended.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    sent: usize,
    outcomes_before_kill: u64,
    outcomes: Row,
    topics: BTreeMap<TopicName, Row>,
}

pub(super) struct Story<'a> {
    output: &'a mut Output,
    folder: &'a Path,
    example: &'a Example,
    consumers: Vec<DeploymentName>,
}

impl<'a> Story<'a> {
    pub(super) async fn tell(
        session: &'a mut Session,
        folder: &'a Path,
        example: &'a Example,
        built: Built,
    ) -> Result<Report, Failure> {
        let output = &mut session.output;
        let mut story = Self { output, folder, example, consumers: Vec::new() };
        let sent = deliveries::all(example)?;
        story.say("Starting a broker")?;
        let (broker, client) = Broker::start(folder).await?;
        story.deploy(&client, built).await?;
        story.produce(&client, &sent).await?;
        let killed = story.work_until_a_third(&client).await?;
        broker.kill().await?;
        drop(client);
        story.say(format_args!(
            "Killed the broker (SIGKILL) after {} of {} outcomes",
            killed.done, killed.total
        ))?;
        let (broker, client) = story.restart(killed).await?;
        story.work_to_the_end(&client, killed.total).await?;
        story.say("Reading the topics back")?;
        let account = ledger::read(&client, example, &sent).await?;
        let report = story.conclude(account, sent.len(), killed)?;
        drop(client);
        broker.stop().await?;
        Ok(report)
    }

    fn say(&mut self, line: impl std::fmt::Display) -> Result<(), Failure> {
        self.output.text(line)?;
        self.output.flush()
    }

    /// Deploys the routers at work and the consumers paused.
    async fn deploy(&mut self, client: &Client, built: Built) -> Result<(), Failure> {
        let admin = client.admin();
        for (module, component) in self.example.routers.iter().zip(built.routers) {
            let deployed = deploy::deploy(&admin, module, component, &Flags::default()).await?;
            self.say(format_args!("Deployed the router {}", deployed.name))?;
        }
        for ((module, _), component) in self.example.consumers.iter().zip(built.consumers) {
            let deployed = deploy::deploy(&admin, module, component, &Flags::paused()).await?;
            self.say(format_args!("Deployed the consumer {}, paused", deployed.name))?;
            self.consumers.push(deployed.name);
        }
        Ok(())
    }

    /// Produces all deliveries, and waits until each is acknowledged.
    async fn produce(&mut self, client: &Client, sent: &[Delivery]) -> Result<(), Failure> {
        let started = Instant::now();
        let producer = client.producer(self.example.feed.topic.clone()).await?;
        let mut progress = Progress::new("deliveries produced", sent.len() as u64);
        let mut tickets = Vec::with_capacity(sent.len());
        for (delivery, count) in sent.iter().zip(1..) {
            tickets.push(producer.send(delivery.record.clone()).await?);
            progress.set(count);
        }
        for ticket in tickets {
            ticket.wait().await?;
        }
        drop(progress);
        let (count, topic, elapsed) = (sent.len(), producer.topic(), started.elapsed());
        self.say(format_args!(
            "Produced {count} deliveries to {topic} in {elapsed:.1?}, each acknowledged after fdatasync"
        ))
    }

    /// Lets the consumers work until a third of the outcomes is there.
    async fn work_until_a_third(&mut self, client: &Client) -> Result<Work, Failure> {
        let waiting = self.look(client).await?;
        let (total, admin) = (waiting.lag, client.admin());
        self.say(format_args!("Resuming the consumers: {total} records wait for them"))?;
        for name in &self.consumers {
            admin.resume(name.clone()).await?;
        }
        self.wait(client, total, |work| work.done * 3 >= total).await
    }

    /// Starts the broker again over what the other one left.
    async fn restart(&mut self, killed: Work) -> Result<(Broker, Client), Failure> {
        let started = Instant::now();
        let (broker, client) = Broker::start(self.folder).await?;
        let found = self.look(&client).await?;
        if found.lag == 0 {
            return Err(anyhow::anyhow!(
                "the kill met an idle broker: all {} outcomes were there before it; run it again",
                killed.total
            )
            .into());
        }
        self.say(format_args!(
            "Started it again in {:.1?}: {} outcomes are there, {} records to go",
            started.elapsed(),
            found.done,
            found.lag
        ))?;
        Ok((broker, client))
    }

    async fn work_to_the_end(&mut self, client: &Client, total: u64) -> Result<(), Failure> {
        let started = Instant::now();
        self.wait(client, total, |work| work.lag == 0).await?;
        self.say(format_args!("No record is left after {:.1?}", started.elapsed()))
    }

    /// Looks again and again until it is enough.
    async fn wait(
        &self,
        client: &Client,
        total: u64,
        is_enough: impl Fn(&Work) -> bool,
    ) -> Result<Work, Failure> {
        let mut progress = Progress::new("outcomes", total);
        let mut clock = interval(LOOK_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let waiting = async {
            loop {
                clock.tick().await;
                let work = Work { total, ..self.look(client).await? };
                progress.set(work.done);
                if is_enough(&work) {
                    return Ok(work);
                }
            }
        };
        timeout(WORK_WITHIN, waiting).await.unwrap_or_else(|_| {
            let seconds = WORK_WITHIN.as_secs();
            Err(anyhow::anyhow!("the consumers did not get through it within {seconds} s").into())
        })
    }

    /// How far the consumers are, by the broker's durable counts.
    async fn look(&self, client: &Client) -> Result<Work, Failure> {
        let mut work = Work::default();
        for name in &self.consumers {
            let consumer = client.admin().deployment(name.clone()).await?;
            if consumer.state == DeploymentStatus::Failed {
                let reason = consumer.reason.unwrap_or_default();
                return Err(anyhow::anyhow!("the consumer {name} has failed: {reason}").into());
            }
            work.add(&consumer);
        }
        Ok(work)
    }

    /// Shows what was found, and fails when anything is off.
    fn conclude(&mut self, account: Account, sent: usize, work: Work) -> Result<Report, Failure> {
        self.output.text("")?;
        self.output.table(&table::HEAD, table::rows(&account))?;
        if let Some(faults) = account.faults() {
            return Err(anyhow::anyhow!(faults).into());
        }
        let outcomes = account.outcomes();
        self.say(format_args!(
            "\nEach of {} inputs has exactly one outcome: {} done, {} dropped, {} dead-lettered.",
            outcomes.inputs,
            outcomes.done(),
            outcomes.dropped,
            outcomes.deaths()
        ))?;
        Ok(Report { sent, outcomes_before_kill: work.done, outcomes, topics: account.into_rows() })
    }
}

/// How far the consumers are.
#[derive(Debug, Default, Clone, Copy)]
struct Work {
    /// Outcomes that there are.
    done: u64,
    /// Records without one.
    lag: u64,
    /// Outcomes that there will be.
    total: u64,
}

impl Work {
    fn add(&mut self, consumer: &DeploymentDescription) {
        let counts = &consumer.counts;
        self.done += counts.done + counts.dropped + counts.dead_lettered;
        self.lag += ls::lag(consumer);
    }
}
