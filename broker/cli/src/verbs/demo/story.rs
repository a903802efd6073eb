//! The demo's steps, one after the other.

mod conclusion;
mod kill;
mod mend;
mod setup;
mod work;

use std::path::Path;

use logmill_model::DeploymentName;

use super::child::Broker;
use super::deliveries;
use super::example::{Built, Example};
use super::ledger;
use crate::{Failure, Output, Session};

use conclusion::Report;

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
        story.deploy(&client, &built).await?;
        story.produce(&client, &sent).await?;
        let killed = story.work_until_a_third(&client).await?;
        let (broker, client) = story.kill_at_work(broker, client, killed).await?;
        story.work_to_the_end(&client, killed.total).await?;
        let redriven = story.mend(&client, built).await?;
        let (broker, client) = story.kill_again(broker, client).await?;
        story.work_to_the_end(&client, killed.total + redriven).await?;
        story.say("Reading the topics back")?;
        let found = ledger::read(&client, example, &sent).await?;
        let report = story.conclude(found, &sent, killed)?;
        drop(client);
        broker.stop().await?;
        Ok(report)
    }

    fn say(&mut self, line: impl std::fmt::Display) -> Result<(), Failure> {
        self.output.text(line)?;
        self.output.flush()
    }
}
