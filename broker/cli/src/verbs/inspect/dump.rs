//! `logmill inspect dump`: what is in the log, entry by entry.

use std::ops::ControlFlow;
use std::path::PathBuf;

use logmill_log::{DumpedBatch, DumpedEntry};
use logmill_model::{Csn, Epoch, Offset, PlainBatch, RecordBatch, Timestamp, limits};
use serde::Serialize;

use super::{Names, failed, open};
use crate::record_json::{Place, PlacedRecord};
use crate::{Failure, Session, record_text, time};

/// Print what a data directory holds: entries, batches, records
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill inspect dump /var/lib/logmill --topic orders")]
pub(crate) struct Args {
    /// The data directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Only the records of this topic, which may be an internal one
    #[arg(long)]
    topic: Option<String>,
}

#[derive(Serialize)]
struct Entry<'a> {
    file: &'a str,
    position: u64,
    bytes: u32,
    kind: &'a str,
    csn: Csn,
    epoch: Epoch,
    time: Timestamp,
    durable_csn: Csn,
    batches: Vec<Batch<'a>>,
}

#[derive(Serialize)]
struct Batch<'a> {
    topic: &'a str,
    partition: u32,
    base_offset: Offset,
    end_offset: Offset,
    bytes: u32,
    compression: String,
    /// None when they are damaged.
    records: Option<Vec<PlacedRecord<'a>>>,
}

impl Args {
    pub(super) fn run(self, session: &mut Session) -> Result<(), Failure> {
        let storage = open(&self.dir)?;
        let names = Names::read(&storage)?;
        if let Some(topic) = self.topic.as_ref().filter(|topic| !names.has(topic)) {
            let dir = self.dir.display();
            return Err(anyhow::anyhow!(
                "there was never a topic {topic} in {dir}; `logmill inspect dump {dir}` shows all that is there"
            )
            .into());
        }
        let mut result = Ok(());
        let mut visit = |entry: DumpedEntry| {
            result = self.show(session, &names, entry);
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        logmill_log::dump(&storage, &mut visit).map_err(failed)?;
        result
    }

    fn show(
        &self,
        session: &mut Session,
        names: &Names,
        mut entry: DumpedEntry,
    ) -> Result<(), Failure> {
        if let Some(topic) = &self.topic {
            entry.batches.retain(|batch| names.of(batch.partition.topic) == *topic);
            if entry.batches.is_empty() {
                return Ok(());
            }
        }
        let topics: Vec<String> =
            entry.batches.iter().map(|batch| names.of(batch.partition.topic)).collect();
        if session.output.is_json() {
            return session.output.json(&as_json(&entry, &topics));
        }
        session.output.text(format_args!(
            "{} at byte {}: {} {}, {} bytes, {}",
            entry.path,
            entry.position,
            entry.kind,
            entry.csn,
            entry.bytes,
            time::shown(entry.time)
        ))?;
        for (batch, topic) in entry.batches.iter().zip(&topics) {
            show_batch(session, batch, topic)?;
        }
        Ok(())
    }
}

fn show_batch(session: &mut Session, batch: &DumpedBatch, topic: &str) -> Result<(), Failure> {
    let (envelope, partition) = (&batch.envelope, batch.partition.index);
    let base = envelope.base_offset;
    let Some(records) = records_of(batch) else {
        let end = envelope.end_offset();
        return session.output.text(format_args!("  {topic}/{partition} {base} to {end}: damaged"));
    };
    for (delta, record) in records.to_records() {
        let offset = RecordBatch::offset_at(base, delta);
        let record = record_text::shown(&record);
        session.output.text(format_args!("  {topic}/{partition} {offset}: {record}"))?;
    }
    Ok(())
}

fn as_json<'a>(entry: &'a DumpedEntry, topics: &'a [String]) -> Entry<'a> {
    let batch = |(batch, topic): (&'a DumpedBatch, &'a String)| {
        let DumpedBatch { partition, envelope, .. } = batch;
        let records = records_of(batch).map(|records| {
            let placed = |(delta, record): (u32, logmill_model::Record)| {
                let place = Place {
                    topic,
                    partition: partition.index,
                    offset: RecordBatch::offset_at(envelope.base_offset, delta),
                    append_ts: envelope.append_ts,
                };
                PlacedRecord::new(place, &record)
            };
            records.to_records().map(placed).collect()
        });
        Batch {
            topic,
            partition: partition.index,
            base_offset: envelope.base_offset,
            end_offset: envelope.end_offset(),
            bytes: envelope.bytes,
            compression: format!("{:?}", envelope.compression).to_lowercase(),
            records,
        }
    };
    Entry {
        file: &entry.path,
        position: entry.position,
        bytes: entry.bytes,
        kind: entry.kind,
        csn: entry.csn,
        epoch: entry.epoch,
        time: entry.time,
        durable_csn: entry.durable_csn,
        batches: entry.batches.iter().zip(topics).map(batch).collect(),
    }
}

/// The records of a batch, if they can be read.
fn records_of(batch: &DumpedBatch) -> Option<PlainBatch> {
    batch.batch.as_ref()?.decompressed(limits::BATCH_BYTES_MAX).ok()
}
