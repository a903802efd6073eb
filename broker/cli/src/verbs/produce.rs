//! `logmill produce`: one record, or the lines of a file.

mod sending;

use std::path::PathBuf;
use std::time::Instant;

use logmill_client::{Producer, ProducerOptions};
use logmill_model::{Header, Pointer, Record, TopicName};
use serde::Serialize;

use crate::codec::Codec;
use crate::input::{Records, Source};
use crate::mapping::{IDEMPOTENCY_KEY, LineFormat, Mapping};
use crate::quantity::{parse_assignment, shown_bytes};
use crate::{Failure, Session, terminal};

pub(crate) use sending::{Sent, send_all};

/// Produce a record, or the lines of a file
///
/// Returns when all is durable. With pointers, a line is a JSON document and they choose its
/// parts: a string gives its text, anything else its exact source bytes, null or nothing is
/// absent.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill produce orders '{\"total\":12}' --key customer-7\n  \
    logmill produce github.events --file webhooks.jsonl --value-from /payload --header-from event=/event\n  \
    logmill produce orders --file orders.ndjson --format ndjson --compression zstd")]
pub(crate) struct Args {
    /// The topic
    topic: TopicName,
    /// The record's value
    #[arg(conflicts_with_all = ["file", "tombstone"])]
    value: Option<String>,
    /// The record's key: records of one key lie in one partition, in order
    #[arg(long, value_name = "K", conflicts_with = "file")]
    key: Option<String>,
    /// A header of the record, or of every record of the file
    #[arg(long, value_name = "N=V", value_parser = parse_assignment)]
    header: Vec<(String, String)>,
    /// The partition, whatever the key says
    #[arg(long, value_name = "P")]
    partition: Option<u32>,
    /// The header idempotency-key
    #[arg(long, value_name = "K", conflicts_with = "file")]
    idempotency_key: Option<String>,
    /// A record without a value: with a key, it says that the key is gone
    #[arg(long, conflicts_with = "file")]
    tombstone: bool,
    /// Produce each line of this file; - is stdin
    #[arg(long, value_name = "FILE|-")]
    file: Option<PathBuf>,
    /// What a line is
    #[arg(long, value_enum, value_name = "lines|ndjson|record")]
    format: Option<LineFormat>,
    /// Where the key is in a line
    #[arg(long, value_name = "/POINTER")]
    key_from: Option<Pointer>,
    /// Where the value is in a line, if it is not the whole line
    #[arg(long, value_name = "/POINTER")]
    value_from: Option<Pointer>,
    /// A header, and where its value is in a line
    #[arg(long, value_name = "NAME=/POINTER", value_parser = parse_header_from)]
    header_from: Vec<(String, Pointer)>,
    /// Where the header idempotency-key is in a line
    #[arg(long, value_name = "/POINTER")]
    idempotency_key_from: Option<Pointer>,
    /// How batches are compressed; they are stored and served like that, and readers decompress
    /// them. A batch that would not become smaller is sent as it is
    #[arg(long, value_enum, value_name = "none|lz4|zstd", default_value_t)]
    compression: Codec,
}

fn parse_header_from(text: &str) -> Result<(String, Pointer), String> {
    let (name, pointer) = parse_assignment(text)?;
    Ok((name, pointer.parse()?))
}

/// What is to be produced.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    One(Record),
    Lines(Source, Mapping),
}

/// What was produced of a file.
#[derive(Serialize)]
struct Report {
    records: u64,
    duplicates: u64,
    bytes: u64,
    elapsed_ms: u128,
}

impl Args {
    /// A flag that was given and says something of lines.
    fn flag_of_file(&self) -> Option<&'static str> {
        let flags = [
            ("--format", self.format.is_some()),
            ("--key-from", self.key_from.is_some()),
            ("--value-from", self.value_from.is_some()),
            ("--header-from", !self.header_from.is_empty()),
            ("--idempotency-key-from", self.idempotency_key_from.is_some()),
        ];
        flags.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }

    fn plan(self) -> Result<Plan, Failure> {
        let of_file = self.flag_of_file();
        let mut headers: Vec<_> =
            self.header.into_iter().map(|(name, value)| Header::new(name, value)).collect();
        let Some(file) = self.file else {
            if let Some(flag) = of_file {
                return Err(Failure::usage(format!(
                    "{flag} is for the lines of a --file; name one"
                )));
            }
            headers.extend(self.idempotency_key.map(|key| Header::new(IDEMPOTENCY_KEY, key)));
            if self.value.is_none() && !self.tombstone {
                return Err(Failure::usage(
                    "nothing to produce; give a VALUE, --file or --tombstone",
                ));
            }
            let (key, value) = (self.key.map(Into::into), self.value.map(Into::into));
            return Ok(Plan::One(Record { key, value, headers, ..Record::default() }));
        };
        let mapping = Mapping {
            format: self.format.unwrap_or_default(),
            key: self.key_from,
            value: self.value_from,
            headers: self.header_from,
            idempotency_key: self.idempotency_key_from,
            fixed_headers: headers,
        };
        if mapping.format == LineFormat::Record && mapping.has_pointers() {
            return Err(Failure::usage(
                "--format record has its parts by name; leave the pointers out",
            ));
        }
        Ok(Plan::Lines(Source::of(&file), mapping))
    }

    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let (topic, partition) = (self.topic.clone(), self.partition);
        let options =
            ProducerOptions { compression: self.compression.into(), ..ProducerOptions::default() };
        match self.plan()? {
            Plan::One(record) => {
                let producer = session.client().await?.producer_with(topic, options).await?;
                one(session, &producer, partition, record).await
            }
            Plan::Lines(source, mapping) => {
                // Before connecting, so that a wrong path is told at once.
                let records = Records::open(&source, mapping)?;
                let producer = session.client().await?.producer_with(topic, options).await?;
                many(session, &producer, partition, records).await
            }
        }
    }
}

async fn one(
    session: &mut Session,
    producer: &Producer,
    partition: Option<u32>,
    record: Record,
) -> Result<(), Failure> {
    let ticket = match partition {
        Some(partition) => producer.send_to(partition, record).await?,
        None => producer.send(record).await?,
    };
    let ack = ticket.wait().await?;
    let topic = producer.topic();
    session.output.json(&serde_json::json!({
        "topic": topic, "partition": ack.partition, "offset": ack.offset,
        "duplicate": ack.duplicate,
    }))?;
    let was_there = if ack.duplicate { ", where it was already" } else { "" };
    session.output.text(format_args!("{topic}/{} offset {}{was_there}", ack.partition, ack.offset))
}

async fn many(
    session: &mut Session,
    producer: &Producer,
    partition: Option<u32>,
    records: Records,
) -> Result<(), Failure> {
    let (started, progress) = (Instant::now(), terminal::counter("records"));
    let sent =
        send_all(producer, partition, records, &mut |sent| progress.set_position(sent)).await;
    progress.finish_and_clear();
    let Sent { records, duplicates, bytes } = sent?;
    let elapsed = started.elapsed();
    session.output.json(&Report { records, duplicates, bytes, elapsed_ms: elapsed.as_millis() })?;
    let (size, topic) = (shown_bytes(bytes), producer.topic());
    let were_there = match duplicates {
        0 => String::new(),
        duplicates => format!(", {duplicates} of which were there already"),
    };
    session
        .output
        .text(format_args!("{records} records ({size}) to {topic} in {elapsed:.1?}{were_there}"))
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

    fn plan(line: &str) -> Result<Plan, String> {
        let words = std::iter::once("produce").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        line.args.plan().map_err(|failure| failure.line())
    }

    #[test]
    fn one_record_is_made_of_flags() {
        let headers = vec![
            Header::new("a", "1"),
            Header::new("a", "2=3"),
            Header::new("idempotency-key", "i"),
        ];
        for (line, record) in [
            ("t v", Record { value: Some("v".into()), ..Record::default() }),
            (
                "t v --key k --header a=1 --header a=2=3 --idempotency-key i",
                Record {
                    key: Some("k".into()),
                    value: Some("v".into()),
                    headers,
                    ..Record::default()
                },
            ),
            ("t --key k --tombstone", Record { key: Some("k".into()), ..Record::default() }),
            ("t v --compression zstd", Record { value: Some("v".into()), ..Record::default() }),
        ] {
            assert_eq!(plan(line), Ok(Plan::One(record)), "{line}");
        }
    }

    #[test]
    fn lines_are_mapped_by_pointers() {
        let line = "t --file - --format ndjson --key-from /k --value-from /v \
                    --header-from a=/h --idempotency-key-from /i --header b=1";
        let pointer = |text: &str| text.parse::<Pointer>().unwrap();
        let mapping = Mapping {
            format: LineFormat::Ndjson,
            key: Some(pointer("/k")),
            value: Some(pointer("/v")),
            headers: vec![("a".into(), pointer("/h"))],
            idempotency_key: Some(pointer("/i")),
            fixed_headers: vec![Header::new("b", "1")],
        };
        assert_eq!(plan(line), Ok(Plan::Lines(Source::Stdin, mapping)));
        let plain = Plan::Lines(Source::File("f".into()), Mapping::default());
        assert_eq!(plan("t --file f"), Ok(plain));
    }

    #[test]
    fn what_does_not_go_together_is_wrong_usage() {
        for line in [
            "t",
            "t v --file f",
            "t v --tombstone",
            "t --file f --key k",
            "t --file f --tombstone",
            "t v --key-from /k",
            "t v --format lines",
            "t --file f --format csv",
            "t --file f --key-from k",
            "t --file f --header-from /h",
            "t --file f --format record --key-from /k",
            "t v --header =v",
            "t v --partition -1",
            "t v --compression gzip",
            "_t v",
        ] {
            assert!(plan(line).is_err(), "{line}");
        }
    }
}
