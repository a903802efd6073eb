//! The module is mended, and what it gave up for its bug is handled again.

use std::collections::BTreeMap;

use logmill_client::{Client, Offset};
use logmill_model::{Deployed, DeploymentName, LetterStatus};

use super::Story;
use crate::Failure;
use crate::verbs::demo::example::{Built, MENDS};
use crate::verbs::dlq::{self, Letters};
use crate::verbs::module::deploy::{self, Flags};

/// How the module says what its bug is about.
const BUG: &str = "has no author";

impl Story<'_> {
    /// Deploys the consumers as their project file says, and redrives the letters of the bug. Tells
    /// how many these are.
    pub(super) async fn mend(&mut self, client: &Client, built: Built) -> Result<u64, Failure> {
        let admin = client.admin();
        let mut redriven = 0;
        for (consumer, component) in self.example.consumers.iter().zip(built.consumers) {
            let name: DeploymentName = consumer.module.name.parse().map_err(Failure::usage)?;
            let letters = letters_of_the_bug(client, &name).await?;
            let count: usize = letters.values().map(Vec::len).sum();
            self.say(format_args!(
                "{name} gave up {count} records without an author: GitHub sends null for an account \
                 that was deleted"
            ))?;
            let Deployed { version, .. } =
                deploy::deploy(&admin, &consumer.module, component, &Flags::default()).await?;
            let value = &consumer.mended_by;
            self.say(format_args!(
                "Mended it: {name} version {version} has the setting {MENDS} = \"{value}\", and \
                 version 1 had none"
            ))?;
            for (partition, offsets) in letters {
                redriven += dlq::redrive(admin.clone(), name.clone(), partition, offsets).await?;
            }
            self.say(format_args!("Redrove these {redriven} dead letters"))?;
        }
        Ok(redriven)
    }
}

/// The open letters that are there for the bug, by partition.
async fn letters_of_the_bug(
    client: &Client,
    name: &DeploymentName,
) -> Result<BTreeMap<u32, Vec<Offset>>, Failure> {
    let deployment = client.admin().deployment(name.clone()).await?;
    let mut letters = Letters::of(client, &deployment).await?;
    let mut found: BTreeMap<u32, Vec<Offset>> = BTreeMap::new();
    while let Some(letter) = letters.next().await? {
        if letter.status == LetterStatus::Open && letter.death.detail.ends_with(BUG) {
            let of_partition = found.entry(letter.consumed.partition).or_default();
            of_partition.push(letter.consumed.offset);
        }
    }
    Ok(found)
}
