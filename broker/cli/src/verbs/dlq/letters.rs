//! The dead letters of one deployment, read from its topic.

use std::collections::{BTreeMap, HashMap};

use logmill_client::{
    Admin, Client, ConsumedRecord, Error, ErrorCode, LetterStatus, Offset, SubscribeOptions,
    Subscriber,
};
use logmill_model::{DeadLetter, DeploymentDescription, DeploymentName, TopicName};

use crate::Failure;

/// How many letters to ask the status of at once.
const STATUSES_MAX: u32 = 1000;

/// A record that its deployment gave up, with the reason, and what has become of it.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) consumed: ConsumedRecord,
    pub(crate) death: DeadLetter,
    pub(crate) status: LetterStatus,
}

/// The dead letters that lie there now, in order. Several deployments may share a topic; those of
/// others are passed over, and so is what was produced there by hand.
#[derive(Debug)]
pub(crate) struct Letters {
    deployment: DeploymentName,
    admin: Admin,
    /// None when there is no such topic yet.
    records: Option<Subscriber>,
    statuses: BTreeMap<u32, Statuses>,
}

/// What has become of letters of one partition, up to an offset.
#[derive(Debug, Default)]
struct Statuses {
    by_offset: HashMap<Offset, LetterStatus>,
    next: Offset,
}

impl Letters {
    pub(crate) async fn of(
        client: &Client,
        deployment: &DeploymentDescription,
    ) -> Result<Self, Failure> {
        let records = open(client, deployment.settings.dlq.clone()).await?;
        let (deployment, admin) = (deployment.name.clone(), client.admin());
        Ok(Self { deployment, admin, records, statuses: BTreeMap::new() })
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Letter>, Failure> {
        loop {
            let Some(records) = &mut self.records else { return Ok(None) };
            let Some(consumed) = records.next().await.transpose()? else { return Ok(None) };
            match DeadLetter::of(&consumed.record) {
                Some(death) if death.deployment == self.deployment.as_str() => {
                    let status = self.status(consumed.partition, consumed.offset).await?;
                    return Ok(Some(Letter { consumed, death, status }));
                }
                _ => {}
            }
        }
    }

    async fn status(&mut self, partition: u32, offset: Offset) -> Result<LetterStatus, Failure> {
        let statuses = self.statuses.entry(partition).or_default();
        if offset >= statuses.next {
            let range = offset..Offset(u64::MAX);
            let page = self
                .admin
                .dead_letters(self.deployment.clone(), partition, range, STATUSES_MAX)
                .await?;
            let by_offset = page.letters.into_iter().map(|it| (it.offset, it.status));
            statuses.by_offset = by_offset.collect();
            // The letter at hand is told of in any case.
            statuses.next = page.next.unwrap_or(Offset(u64::MAX)).max(offset.next());
        }
        Ok(statuses.by_offset.get(&offset).copied().unwrap_or_default())
    }
}

async fn open(client: &Client, topic: TopicName) -> Result<Option<Subscriber>, Failure> {
    match client.subscribe(SubscribeOptions::new(topic).until_end()).await {
        Ok(records) => Ok(Some(records)),
        Err(Error::Refused { code: ErrorCode::UnknownTopic, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
