//! `logmill consume`: reads a topic to its durable end, or on and on.

use std::time::Duration;

use logmill_client::{Client, ConsumedRecord, Error, ErrorCode, SubscribeOptions, Subscriber};
use logmill_model::{DeploymentName, Offset, Position, Timestamp, TopicName};

use crate::record_json::{Place, PlacedRecord};
use crate::{Failure, Output, Session, record_text};

/// What is printed waits this long for more, so that many records are written at once.
const GATHER: Duration = Duration::from_millis(20);

/// Read a topic
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill consume orders --from latest -f\n  \
    logmill consume orders --partition 0 --from 100 --to 200 -o json\n  \
    logmill consume orders --from -15m\n  \
    logmill consume orders --from @2026-07-01T12:00:00Z --to @2026-07-01T14:00:00+02:00")]
pub(crate) struct Args {
    /// The topic
    topic: TopicName,
    /// Only this partition
    #[arg(long, value_name = "P")]
    partition: Option<u32>,
    /// Where to start: earliest, latest, an offset, @TIME or -SPAN
    ///
    /// @TIME is the first record that was appended at that time or later, with its zone, as in
    /// @2026-07-01T12:00:00Z or @2026-07-01T14:00:00+02:00; -SPAN is that long ago by the broker's
    /// clock, as in -15m (ms, s, m, h, d). All records of a batch are appended at one time.
    #[arg(long, default_value = "earliest", value_name = "POSITION", allow_hyphen_values = true)]
    from: Position,
    /// The offset, or the @TIME of appending, to end before
    #[arg(long, value_name = "OFFSET|@TIME", value_parser = parse_end, allow_hyphen_values = true)]
    to: Option<End>,
    /// How many records to read at most
    #[arg(long, value_name = "N")]
    max: Option<u64>,
    /// Go on with new records as they come
    #[arg(short)]
    follow: bool,
    /// Only records that this deployed filter lets through
    #[arg(long, value_name = "DEPLOYMENT")]
    filter: Option<DeploymentName>,
}

/// Where reading ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Offset(Offset),
    Time(Timestamp),
}

fn parse_end(text: &str) -> Result<End, String> {
    match text.parse() {
        Ok(Position::Offset(offset)) => Ok(End::Offset(offset)),
        Ok(Position::Time(time)) => Ok(End::Time(time)),
        _ => Err(format!(
            "bad end {text:?}; use an offset, or a time with its zone as in @2026-07-01T12:00:00Z"
        )),
    }
}

impl Args {
    /// An offset says something of one partition only.
    fn names_offset(&self) -> bool {
        matches!(self.to, Some(End::Offset(_))) || matches!(self.from, Position::Offset(_))
    }

    fn options(self, topic: TopicName) -> SubscribeOptions {
        let mut options = SubscribeOptions::new(topic).from(self.from);
        if let Some(partition) = self.partition {
            options = options.partition(partition);
        }
        options = match self.to {
            Some(End::Offset(to)) => options.to(to),
            Some(End::Time(to)) => options.to_time(to),
            None => options,
        };
        if let Some(filter) = self.filter {
            options = options.filter(filter);
        }
        if self.follow { options } else { options.until_end() }
    }

    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        if self.max == Some(0) {
            return Ok(());
        }
        let client = session.client().await?;
        let topic = self.topic.clone();
        if self.names_offset() && self.partition.is_none() {
            let partitions = client.admin().topic(topic.clone()).await?.partitions.len();
            if partitions > 1 {
                return Err(Failure::usage(format!(
                    "{topic} has {partitions} partitions; say with --partition whose offset that is"
                )));
            }
        }
        let max = self.max.unwrap_or(u64::MAX);
        let subscriber = open(&client, self.options(topic.clone())).await?;
        print(&mut session.output, &topic, subscriber, max).await
    }
}

/// Opens the subscription. A broker that makes topics on demand makes one for who reads its first
/// partition, but not for who asks how many there are.
async fn open(client: &Client, options: SubscribeOptions) -> Result<Subscriber, Failure> {
    match client.subscribe(options.clone()).await {
        Err(Error::Refused { code: ErrorCode::UnknownTopic, .. }) => {
            Ok(client.subscribe(options.partition(0)).await?)
        }
        opened => Ok(opened?),
    }
}

async fn print(
    output: &mut Output,
    topic: &TopicName,
    mut subscriber: Subscriber,
    max: u64,
) -> Result<(), Failure> {
    for _ in 0..max {
        let next = match tokio::time::timeout(GATHER, subscriber.next()).await {
            Ok(next) => next,
            Err(_) => {
                output.flush()?;
                subscriber.next().await
            }
        };
        let Some(consumed) = next.transpose()? else { return Ok(()) };
        show(output, topic, &consumed)?;
    }
    Ok(())
}

fn show(output: &mut Output, topic: &TopicName, consumed: &ConsumedRecord) -> Result<(), Failure> {
    let ConsumedRecord { partition, offset, append_ts, record } = consumed;
    if output.is_json() {
        let place = Place {
            topic: topic.as_str(),
            partition: *partition,
            offset: *offset,
            append_ts: *append_ts,
        };
        return output.json(&PlacedRecord::new(place, record));
    }
    output.text(format_args!("{partition}@{offset}  {}", record_text::shown(record)))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &str) -> Result<Args, String> {
        let words = std::iter::once("consume").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.args).map_err(|error| error.to_string())
    }

    fn options() -> SubscribeOptions {
        SubscribeOptions::new("t".parse().unwrap()).from(Position::Earliest)
    }

    #[test]
    fn reading_ends_at_the_durable_end_unless_it_follows() {
        for (line, expected) in [
            ("t", options().until_end()),
            ("t -f", options()),
            ("t --from latest -f", options().from(Position::Latest)),
            ("t --from -15m", options().from(Position::Ago(900_000)).until_end()),
            (
                "t --from @1970-01-01T00:00:01Z --to @1970-01-01T00:00:02Z",
                options()
                    .from(Position::Time(Timestamp(1000)))
                    .to_time(Timestamp(2000))
                    .until_end(),
            ),
            (
                "t --partition 2 --from 7 --to 9 --filter f",
                options()
                    .partition(2)
                    .from(Position::Offset(Offset(7)))
                    .to(Offset(9))
                    .filter("f".parse().unwrap())
                    .until_end(),
            ),
        ] {
            assert_eq!(args(line).unwrap().options("t".parse().unwrap()), expected, "{line}");
        }
    }

    #[test]
    fn offsets_are_told_from_other_positions() {
        for (line, names) in [
            ("t", false),
            ("t --from latest", false),
            ("t --from -15m", false),
            ("t --to @2026-07-01T12:00:00Z", false),
            ("t --from 0", true),
            ("t --to 1", true),
        ] {
            assert_eq!(args(line).unwrap().names_offset(), names, "{line}");
        }
        for bad in [
            "t --from -1",
            "t --to latest",
            "t --to -15m",
            "t --to @2026-07-01",
            "t --from @x",
            "t --max x",
            "t --group g",
        ] {
            assert!(args(bad).is_err(), "{bad}");
        }
    }
}
