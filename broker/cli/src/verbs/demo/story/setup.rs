//! The modules are deployed, and all deliveries produced.

use std::time::Instant;

use logmill_client::Client;

use super::Story;
use crate::Failure;
use crate::verbs::demo::deliveries::{self, Delivery};
use crate::verbs::demo::example::{Built, MENDS};
use crate::verbs::demo::progress::Progress;
use crate::verbs::module::deploy::{self, Flags};

impl Story<'_> {
    /// Deploys the routers at work, and the consumers paused and with their bug.
    pub(super) async fn deploy(&mut self, client: &Client, built: &Built) -> Result<(), Failure> {
        let admin = client.admin();
        for (module, component) in self.example.routers.iter().zip(&built.routers) {
            let flags = Flags::default();
            let deployed = deploy::deploy(&admin, module, component.clone(), &flags).await?;
            self.say(format_args!("Deployed the router {}", deployed.name))?;
        }
        for (consumer, component) in self.example.consumers.iter().zip(&built.consumers) {
            let (module, flags) = (consumer.with_its_bug(), Flags::paused());
            let deployed = deploy::deploy(&admin, &module, component.clone(), &flags).await?;
            self.say(format_args!(
                "Deployed the consumer {}, paused, and without its setting {MENDS} for now",
                deployed.name
            ))?;
            self.consumers.push(deployed.name);
        }
        Ok(())
    }

    /// Produces all deliveries, and waits until each is acknowledged.
    pub(super) async fn produce(
        &mut self,
        client: &Client,
        sent: &[Delivery],
    ) -> Result<(), Failure> {
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
        let (topic, elapsed) = (producer.topic(), started.elapsed());
        let different = deliveries::different(sent);
        self.say(format_args!(
            "Produced {different} deliveries to {topic} in {elapsed:.1?}, each acknowledged after \
             fdatasync, and {} of them once more",
            sent.len() - different
        ))
    }
}
