//! Reads the topics back and holds them against what was sent: each delivery there as often as it
//! was sent, with exactly one outcome, the expected one, and in order.

mod account;
mod input;
mod inputs;
mod routed;
mod timeline;
mod wait;

use std::collections::HashMap;

use logmill_client::{Client, ConsumedRecord, SubscribeOptions};
use logmill_model::{DeploymentDescription, DeploymentName, TopicName};

use super::deliveries::Delivery;
use super::example::Example;
use crate::Failure;

pub(super) use account::{Account, Row};
use inputs::Inputs;
use timeline::Timeline;
pub(super) use wait::Wait;

/// What was sent, by delivery.
type Sent<'a> = HashMap<&'a str, SentDelivery<'a>>;

/// A delivery that was sent.
#[derive(Debug)]
struct SentDelivery<'a> {
    delivery: &'a Delivery,
    /// How often.
    times: u64,
}

/// What was found in the topics.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In numbers, and what is wrong.
    pub(super) account: Account,
    /// The longest wait of a record that was tried until its attempts ran out.
    pub(super) wait: Option<Wait>,
}

/// Reads everything back.
pub(super) async fn read(
    client: &Client,
    example: &Example,
    all: &[Delivery],
) -> Result<Found, Failure> {
    let sent = sent(all);
    let mut found = Found::default();
    let account = &mut found.account;
    routed::check_source(client, &example.feed.topic, &sent, account).await?;
    for module in &example.routers {
        let router = describe(client, &module.name).await?;
        routed::check_router(client, &router, &sent, account).await?;
    }
    for consumer in &example.consumers {
        let deployment = describe(client, &consumer.module.name).await?;
        let inputs = Inputs::read(client, &deployment, account).await?;
        let timeline = Timeline::of(inputs.settled());
        if let Some(stuck) = inputs.stuck() {
            found.wait = Wait::of(client, &deployment.name, &stuck, &timeline).await?;
        }
        inputs.hold_against(&sent, &consumer.expectations, account)?;
        account.hold_counts_against(&deployment);
        timeline.inversions().into_iter().for_each(|inversion| account.wrong(inversion));
    }
    Ok(found)
}

fn sent(all: &[Delivery]) -> Sent<'_> {
    let mut sent: Sent<'_> = HashMap::with_capacity(all.len());
    for delivery in all {
        let entry = sent.entry(delivery.id.as_str());
        entry.or_insert(SentDelivery { delivery, times: 0 }).times += 1;
    }
    sent
}

async fn describe(client: &Client, name: &str) -> Result<DeploymentDescription, Failure> {
    let name: DeploymentName = name.parse().map_err(anyhow::Error::from)?;
    Ok(client.admin().deployment(name).await?)
}

/// Calls for each record that lies in the topic now.
async fn each(
    client: &Client,
    topic: &TopicName,
    mut call: impl FnMut(ConsumedRecord) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut records = client.subscribe(SubscribeOptions::new(topic.clone()).until_end()).await?;
    while let Some(record) = records.next().await {
        call(record?)?;
    }
    Ok(())
}
