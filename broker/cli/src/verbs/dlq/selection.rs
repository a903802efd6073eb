//! Which dead letters a command is about: the flags that say it, and finding them.

use std::collections::VecDeque;
use std::ops::Range;

use logmill_client::{
    Admin, DeploymentName, Error, ErrorCode, LetterStatus, LetterSummary, Offset, TopicDescription,
    TopicName, World,
};

use super::reasons;
use crate::Failure;

/// How many letters are put in order at once: about 200 bytes each.
const WINDOW_MAX: usize = 65_536;
/// How many letters to ask for at once.
const PAGE_MAX: u32 = 1000;

/// The flags that say which dead letters.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Filter {
    /// Only those of this reason
    #[arg(long, value_name = "R", value_parser = reasons())]
    reason: Option<String>,
    /// Only the one at this offset of the dead-letter topic; may be given again
    #[arg(long = "offset", value_name = "O")]
    offsets: Vec<u64>,
    /// Only those in this partition of the dead-letter topic
    #[arg(long, value_name = "P")]
    partition: Option<u32>,
}

impl Filter {
    /// The letters at these offsets of a partition.
    pub(super) fn at(partition: u32, offsets: &[Offset]) -> Self {
        let offsets = offsets.iter().map(|offset| offset.0).collect();
        Self { reason: None, offsets, partition: Some(partition) }
    }

    /// Whether it names single letters.
    pub(super) fn names_offsets(&self) -> bool {
        !self.offsets.is_empty()
    }
}

/// Open dead letters of one partition.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) partition: u32,
    /// In the order in which their records were read.
    pub(super) letters: Vec<LetterSummary>,
}

/// The open dead letters of a deployment that a filter lets through, of those that lie there now.
#[derive(Debug)]
pub(super) struct Selection {
    admin: Admin,
    name: DeploymentName,
    topic: TopicName,
    filter: Filter,
    /// What was not looked at.
    rest: VecDeque<(u32, Range<Offset>)>,
    /// How many of those that were named are not open.
    pub(super) not_open: u64,
}

impl Selection {
    pub(super) async fn of(
        admin: Admin,
        name: &DeploymentName,
        filter: Filter,
    ) -> Result<Self, Failure> {
        let deployment = admin.deployment(name.clone()).await?;
        if deployment.world != World::Consumer {
            let world = deployment.world;
            let why = format!("{name} is a {world}, and only consumers have dead letters");
            return Err(anyhow::anyhow!(why).into());
        }
        let topic = deployment.settings.dlq;
        let rest = match admin.topic(topic.clone()).await {
            Ok(description) => ranges(&description, &filter)?,
            Err(Error::Refused { code: ErrorCode::UnknownTopic, .. }) => VecDeque::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { admin, name: name.clone(), topic, filter, rest, not_open: 0 })
    }

    /// The topic that the letters lie in.
    pub(super) fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// The next ones; None when that was all.
    pub(super) async fn next(&mut self) -> Result<Option<Window>, Failure> {
        while let Some((partition, mut range)) = self.rest.pop_front() {
            let mut letters = Vec::new();
            while letters.len() < WINDOW_MAX && range.start < range.end {
                let (name, range_now) = (self.name.clone(), range.clone());
                let page = self.admin.dead_letters(name, partition, range_now, PAGE_MAX).await?;
                if self.filter.names_offsets() && page.letters.is_empty() {
                    let (offset, topic, name) = (range.start, &self.topic, &self.name);
                    let why = format!(
                        "offset {offset} of {topic}/{partition} is no dead letter of {name}"
                    );
                    return Err(anyhow::anyhow!(why).into());
                }
                for letter in page.letters {
                    self.take(partition, letter, &mut letters)?;
                }
                range.start = page.next.unwrap_or(range.end);
            }
            if range.start < range.end {
                self.rest.push_front((partition, range));
            }
            if !letters.is_empty() {
                // As the source had them, so that those of a key stay in order.
                letters.sort_by(|a, b| {
                    let by =
                        |it: &LetterSummary| (it.source.offset, it.source.partition, it.offset);
                    by(a).cmp(&by(b))
                });
                return Ok(Some(Window { partition, letters }));
            }
        }
        Ok(None)
    }

    fn take(
        &mut self,
        partition: u32,
        letter: LetterSummary,
        into: &mut Vec<LetterSummary>,
    ) -> Result<(), Failure> {
        let is_named = self.filter.names_offsets();
        if self.filter.reason.as_ref().is_some_and(|reason| *reason != letter.reason) {
            if is_named {
                let (offset, topic, reason) = (letter.offset, &self.topic, letter.reason);
                let why = format!("offset {offset} of {topic}/{partition} has reason {reason}");
                return Err(anyhow::anyhow!(why).into());
            }
        } else if letter.status == LetterStatus::Open {
            into.push(letter);
        } else if is_named {
            self.not_open += 1;
        }
        Ok(())
    }
}

/// What to look at.
fn ranges(
    topic: &TopicDescription,
    filter: &Filter,
) -> Result<VecDeque<(u32, Range<Offset>)>, Failure> {
    let (name, count) = (&topic.name, topic.partitions.len());
    let partitions = match filter.partition {
        Some(asked) => {
            let found = topic.partitions.iter().filter(|it| it.partition == asked);
            found.collect::<Vec<_>>()
        }
        None => topic.partitions.iter().collect(),
    };
    if partitions.is_empty() {
        return Err(Failure::usage(format!("topic {name} has partitions 0 to {}", count - 1)));
    }
    if !filter.names_offsets() {
        let all = partitions.into_iter().map(|it| (it.partition, it.start..it.end));
        return Ok(all.collect());
    }
    let [partition] = partitions[..] else {
        return Err(Failure::usage(format!(
            "topic {name} has {count} partitions; say which one --offset is about with --partition"
        )));
    };
    let mut offsets = filter.offsets.clone();
    offsets.sort_unstable();
    offsets.dedup();
    let one = |at: u64| (partition.partition, Offset(at)..Offset(at.saturating_add(1)));
    Ok(offsets.into_iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use logmill_client::{PartitionDescription, Timestamp, TopicPolicy};

    use super::*;

    fn topic(partitions: u32) -> TopicDescription {
        let of = |partition| PartitionDescription {
            partition,
            start: Offset(2),
            end: Offset(9),
            bytes: 0,
            lost: 0,
        };
        TopicDescription {
            name: "t".parse().unwrap(),
            created_ts: Timestamp(0),
            policy: TopicPolicy::default(),
            partitions: (0..partitions).map(of).collect(),
        }
    }

    fn found(partitions: u32, offsets: &[u64], partition: Option<u32>) -> Result<String, Failure> {
        let filter = Filter { reason: None, offsets: offsets.to_vec(), partition };
        let ranges = ranges(&topic(partitions), &filter)?;
        let shown = |(partition, range): &(u32, Range<Offset>)| {
            format!("{partition}:{}..{}", range.start, range.end)
        };
        Ok(ranges.iter().map(shown).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn all_that_lies_there_is_looked_at_or_what_is_named() {
        for (partitions, offsets, partition, expected) in [
            (1, &[][..], None, "0:2..9"),
            (2, &[], None, "0:2..9 1:2..9"),
            (2, &[], Some(1), "1:2..9"),
            (1, &[7, 3, 7], None, "0:3..4 0:7..8"),
            (3, &[7], Some(2), "2:7..8"),
        ] {
            assert_eq!(found(partitions, offsets, partition).unwrap(), expected);
        }
        for (partitions, offsets, partition, says) in [
            (2, &[7][..], None, "--partition"),
            (2, &[7], Some(2), "partitions 0 to 1"),
            (1, &[], Some(1), "partitions 0 to 0"),
        ] {
            let refused = found(partitions, offsets, partition).unwrap_err();
            assert!(matches!(&refused, Failure::Usage(text) if text.contains(says)), "{refused}");
        }
    }
}
