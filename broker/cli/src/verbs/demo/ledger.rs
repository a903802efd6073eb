//! Reads the topics back and holds them against what was sent: each input there once, and with
//! exactly one outcome, the expected one.

mod account;
mod inputs;

use std::collections::HashMap;

use logmill_client::{Client, ConsumedRecord, SubscribeOptions};
use logmill_model::{DeploymentDescription, DeploymentName, TopicName};

use super::deliveries::{self, Delivery};
use super::example::Example;
use super::expectation::Output;
use crate::Failure;
use crate::verbs::dlq::Letters;

pub(super) use account::{Account, Row};
use inputs::{Death, Inputs};

/// Reads everything back. The account tells what was found, and what is wrong with it.
pub(super) async fn read(
    client: &Client,
    example: &Example,
    sent: &[Delivery],
) -> Result<Account, Failure> {
    let sent: HashMap<&str, &Delivery> = sent.iter().map(|it| (it.id.as_str(), it)).collect();
    let mut account = Account::default();
    check_source(client, example, &sent, &mut account).await?;
    for module in &example.routers {
        check_router(client, &describe(client, &module.name).await?, &sent, &mut account).await?;
    }
    for (module, expectation) in &example.consumers {
        let deployment = describe(client, &module.name).await?;
        let inputs = read_inputs(client, &deployment, &mut account).await?;
        inputs.hold_against(&sent, expectation, &mut account);
        account.hold_counts_against(&deployment);
    }
    Ok(account)
}

async fn describe(client: &Client, name: &str) -> Result<DeploymentDescription, Failure> {
    let name: DeploymentName = name.parse().map_err(anyhow::Error::from)?;
    Ok(client.admin().deployment(name).await?)
}

/// What was acknowledged must lie in the topic it was produced to, each record once.
async fn check_source(
    client: &Client,
    example: &Example,
    sent: &HashMap<&str, &Delivery>,
    account: &mut Account,
) -> Result<(), Failure> {
    let topic = &example.feed.topic;
    let mut seen: HashMap<String, u64> = HashMap::new();
    each(client, topic, |consumed| {
        let id = deliveries::id(&consumed.record)?;
        match sent.get(id.as_str()) {
            Some(delivery) if delivery.record.value != consumed.record.value => {
                account.wrong(format!("{id} is not as it was sent"));
            }
            Some(_) => {}
            None => account.wrong(format!("{id} in {topic} was never sent")),
        }
        *seen.entry(id).or_default() += 1;
        account.row(topic).records += 1;
        Ok(())
    })
    .await?;
    for id in sent.keys() {
        match seen.get(*id) {
            Some(1) => {}
            Some(times) => account.wrong(format!("{id} is {times} times in {topic}")),
            None => account.wrong(format!("{id} was acknowledged and is not in {topic}")),
        }
    }
    Ok(())
}

/// What a router sent on must have been sent to it, and sent on once.
async fn check_router(
    client: &Client,
    router: &DeploymentDescription,
    sent: &HashMap<&str, &Delivery>,
    account: &mut Account,
) -> Result<(), Failure> {
    let mut routed: HashMap<String, TopicName> = HashMap::new();
    for grant in &router.settings.out {
        let topic = &grant.topic;
        each(client, topic, |consumed| {
            let id = deliveries::id(&consumed.record)?;
            account.row(topic).records += 1;
            if !sent.contains_key(id.as_str()) {
                account.wrong(format!("{id} in {topic} was never sent"));
            }
            if let Some(other) = routed.insert(id.clone(), topic.clone()) {
                account.wrong(format!("{id} was sent on to {other} and to {topic}"));
            }
            Ok(())
        })
        .await?;
    }
    for source in &router.sources {
        account.row(source).outputs += routed.len() as u64;
    }
    Ok(())
}

/// What a consumer was given, and what it made of it.
async fn read_inputs(
    client: &Client,
    consumer: &DeploymentDescription,
    account: &mut Account,
) -> Result<Inputs, Failure> {
    let mut inputs = Inputs::default();
    for topic in &consumer.sources {
        each(client, topic, |consumed| {
            let id = deliveries::id(&consumed.record)?;
            if !inputs.add(topic, &consumed, id.clone()) {
                account.wrong(format!("{id} came to {} twice", consumer.name));
            }
            Ok(())
        })
        .await?;
    }
    for grant in &consumer.settings.out {
        let topic = &grant.topic;
        each(client, topic, |consumed| {
            account.row(topic).records += 1;
            let id = deliveries::id(&consumed.record)?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let output = Output {
                topic: topic.to_string(),
                key: consumed.record.key.as_deref().map(text),
                value: consumed.record.value.as_deref().map(text),
            };
            if !inputs.add_output(&id, output) {
                account.wrong(format!("{id} in {topic} follows from nothing"));
            }
            Ok(())
        })
        .await?;
    }
    let mut letters = Letters::of(client, consumer).await?;
    while let Some(letter) = letters.next().await? {
        account.row(&consumer.settings.dlq).records += 1;
        let source = letter.death.source.clone();
        let death = Death { reason: letter.death.reason, attempts: letter.death.attempts };
        if !inputs.add_death(&source, death) {
            let (topic, offset) = (source.topic, source.offset);
            account.wrong(format!("a dead letter of {topic} offset {offset} follows from nothing"));
        }
    }
    Ok(inputs)
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
