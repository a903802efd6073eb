//! The dead letters of one deployment, read from its topic.

use logmill_client::{Client, ConsumedRecord, Error, ErrorCode, SubscribeOptions, Subscriber};
use logmill_model::{DeadLetter, DeploymentDescription, DeploymentName, TopicName};

use crate::Failure;

/// A record that its deployment gave up, with the reason.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) consumed: ConsumedRecord,
    pub(crate) death: DeadLetter,
}

/// The dead letters that lie there now, in order. Several deployments may share a topic; those of
/// others are passed over, and so is what was produced there by hand.
#[derive(Debug)]
pub(crate) struct Letters {
    deployment: DeploymentName,
    /// None when there is no such topic yet.
    records: Option<Subscriber>,
}

impl Letters {
    pub(crate) async fn of(
        client: &Client,
        deployment: &DeploymentDescription,
    ) -> Result<Self, Failure> {
        let records = open(client, deployment.settings.dlq.clone()).await?;
        Ok(Self { deployment: deployment.name.clone(), records })
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Letter>, Failure> {
        let Some(records) = &mut self.records else { return Ok(None) };
        while let Some(consumed) = records.next().await.transpose()? {
            match DeadLetter::of(&consumed.record) {
                Some(death) if death.deployment == self.deployment.as_str() => {
                    return Ok(Some(Letter { consumed, death }));
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

async fn open(client: &Client, topic: TopicName) -> Result<Option<Subscriber>, Failure> {
    match client.subscribe(SubscribeOptions::new(topic).until_end()).await {
        Ok(records) => Ok(Some(records)),
        Err(Error::Refused { code: ErrorCode::UnknownTopic, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
