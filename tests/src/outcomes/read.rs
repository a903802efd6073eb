//! Reads all that the comparison needs back, as any client can.

use std::io::BufRead;

use anyhow::{Context as _, Result, ensure};
use logmill_client::{Client, DeploymentName, SubscribeOptions, TopicName};

use super::{Compared, Found, Inputs, Outcomes, Rules, ToldInput};

/// Compares what became of a deployment's inputs with what their producers were told, a line for each.
///
/// # Errors
/// When it can't be read, or what was told can't.
pub async fn compare(
    client: &Client,
    told: impl BufRead,
    deployment: DeploymentName,
) -> Result<Compared> {
    let described = client.admin().deployment(deployment).await?;
    let settings = &described.settings;
    ensure!(described.sources.len() == 1, "a ledger is of a deployment with one source");
    let source = &described.sources[0];
    let rules = Rules {
        deployment: described.name.to_string(),
        source: source.to_string(),
        max_attempts: settings.max_attempts,
        order: settings.order,
    };
    let topic = client.admin().topic(source.clone()).await?;
    let records: u64 = topic.partitions.iter().map(|it| it.start.distance_to(it.end)).sum();
    let mut inputs = Inputs::with_room_for(usize::try_from(records)?);
    read(client, source, |found| inputs.add(&found)).await?;
    let mut outcomes = Outcomes::of(inputs, rules);
    for (line, number) in told.lines().zip(1..) {
        let line = line.with_context(|| format!("line {number} of what was told"))?;
        let told: ToldInput = serde_json::from_str(&line)
            .with_context(|| format!("line {number} of what was told: {line}"))?;
        outcomes.told(&told);
    }
    for output in &settings.out {
        read(client, &output.topic, |found| outcomes.output(&found)).await?;
    }
    read(client, &settings.dlq, |found| outcomes.letter(&found)).await?;
    let lag = described.lanes.iter().map(|lane| lane.lag).sum();
    Ok(outcomes.finish(&described.counts, lag))
}

/// Reads a topic to its end, each partition in the order of offsets.
async fn read(client: &Client, topic: &TopicName, mut take: impl FnMut(Found<'_>)) -> Result<()> {
    let options = SubscribeOptions::new(topic.clone()).until_end();
    let mut subscriber = client.subscribe(options).await?;
    while let Some(batch) = subscriber.next_batch().await {
        let batch = batch.with_context(|| format!("reading {topic}"))?;
        for it in batch.records() {
            let (partition, offset) = (it.partition, it.offset.0);
            let (csn, record) = (batch.envelope.csn.0, &it.record);
            take(Found { topic: topic.as_str(), partition, offset, csn, record });
        }
    }
    Ok(())
}
