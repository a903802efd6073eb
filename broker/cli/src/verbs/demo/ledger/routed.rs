//! What was produced, and what the routers made of it.

use std::collections::HashMap;

use logmill_client::Client;
use logmill_model::{DeploymentDescription, TopicName};

use super::{Account, Sent, each};
use crate::Failure;
use crate::verbs::demo::deliveries;

/// What was acknowledged must lie in the topic it was produced to, as often as it was sent.
pub(super) async fn check_source(
    client: &Client,
    topic: &TopicName,
    sent: &Sent<'_>,
    account: &mut Account,
) -> Result<(), Failure> {
    let mut seen: HashMap<String, u64> = HashMap::new();
    each(client, topic, |consumed| {
        let id = deliveries::id(&consumed.record)?;
        match sent.get(id.as_str()) {
            Some(it) if it.delivery.record.value != consumed.record.value => {
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
    for (id, it) in sent {
        let (seen, times) = (seen.get(*id).copied().unwrap_or(0), it.times);
        if seen != times {
            account.wrong(format!(
                "{id} was acknowledged {times} times and is {seen} times in {topic}"
            ));
        }
    }
    Ok(())
}

/// What a router sent on must have been sent to it, and sent on as often, to one topic.
pub(super) async fn check_router(
    client: &Client,
    router: &DeploymentDescription,
    sent: &Sent<'_>,
    account: &mut Account,
) -> Result<(), Failure> {
    let mut routed: HashMap<String, (TopicName, u64)> = HashMap::new();
    for grant in &router.settings.out {
        let topic = &grant.topic;
        each(client, topic, |consumed| {
            let id = deliveries::id(&consumed.record)?;
            account.row(topic).records += 1;
            let (first, times) = routed.entry(id.clone()).or_insert_with(|| (topic.clone(), 0));
            *times += 1;
            if first != topic {
                account.wrong(format!("{id} was sent on to {first} and to {topic}"));
            }
            Ok(())
        })
        .await?;
    }
    for (id, (topic, times)) in &routed {
        match sent.get(id.as_str()) {
            Some(it) if it.times == *times => {}
            Some(it) => account.wrong(format!(
                "{id} was sent {} times, and sent on to {topic} {times} times",
                it.times
            )),
            None => account.wrong(format!("{id} in {topic} was never sent")),
        }
    }
    for source in &router.sources {
        account.row(source).outputs += routed.values().map(|(_, times)| times).sum::<u64>();
    }
    Ok(())
}
