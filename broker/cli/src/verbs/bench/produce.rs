//! `logmill bench produce`: records to a topic of their own, as fast as it goes or at a rate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use logmill_model::TopicName;
use logmill_server::{Config, Settings};

use super::load::{Done, Load};
use super::machine::{CpuTicks, Machine, is_memory};
use super::payload::Payload;
use super::plan::Plan;
use super::raw_disk::RawDisk;
use super::raw_quic;
use super::report::{Circumstances, Measured, Report, Synced};
use super::target::Target;
use crate::broker::Stop;
use crate::codec::Codec;
use crate::quantity::{parse_bytes, parse_rate};
use crate::{Failure, Session, terminal};

/// Measure how fast a broker takes records
///
/// Against the broker that other commands would find; where there is none, one is started in this
/// process on temporary data, and --data D starts one on D in any case. The records go to a topic
/// of their own, which is deleted afterwards. Beside the broker's figures stand those of the same
/// disk (the same chunks, each with an fdatasync) and of QUIC alone on loopback, from the same
/// run. A latency is a record's, from its send to its ack; with --rate it is counted from when the
/// record was due, so that a pause costs each record that it held up.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill bench produce\n  \
    logmill bench produce --records 200000 --size 100 --batch 500 --connections 4\n  \
    logmill bench produce --rate 20000/s --batch 10 -o json")]
pub(crate) struct Args {
    /// How many records
    #[arg(long, value_name = "N", default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
    /// Bytes of a record's value, as in 100 or 1KiB
    #[arg(long, value_name = "B", default_value = "1KiB", value_parser = parse_bytes)]
    size: u64,
    /// Records of a batch
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Connections, each with a partition of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
    /// Batches of a connection that may be without an ack
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1024))]
    in_flight: u32,
    /// How batches are compressed
    #[arg(long, value_enum, value_name = "none|lz4|zstd", default_value_t)]
    compression: Codec,
    /// Records a second, all connections together; as fast as it goes without it
    #[arg(long, value_name = "N/s", value_parser = parse_rate)]
    rate: Option<u64>,
    /// Start a broker in this process, on this data directory
    #[arg(long, value_name = "D")]
    data: Option<PathBuf>,
}

impl Args {
    fn plan(&self) -> Result<Plan, Failure> {
        let Self { records, batch, connections, in_flight, rate, .. } = *self;
        let size = usize::try_from(self.size).unwrap_or(usize::MAX / 2);
        let compression = self.compression.into();
        Plan { records, size, batch, connections, in_flight, compression, rate }.check()
    }

    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let plan = self.plan()?;
        let mut stop = Stop::on_signals()?;
        let target = Target::find(session, self.data).await?;
        let around = Circumstances {
            told: target.told(),
            broker: target.name(),
            machine: Machine::here(target.data.as_deref().ok()),
            command: std::env::args().collect::<Vec<_>>().join(" "),
        };
        if around.machine.fs.as_deref().is_some_and(is_memory) {
            terminal::note(
                "note: the data lies in memory, where a sync costs nothing; choose a disk with --data D",
            );
        }
        let topic = match target.create_topic(plan.connections).await {
            Ok(topic) => topic,
            Err(failure) => {
                target.end().await?;
                return Err(failure);
            }
        };
        let measured = tokio::select! {
            measured = measure(plan, &target, &topic) => measured,
            () = stop.asked() => Err(anyhow::anyhow!("stopped before the end; nothing was measured").into()),
        };
        let cleaned = target.clean_up(topic).await;
        let report = Report::of(&plan, &measured?, around);
        report.tell(&mut session.output)?;
        cleaned
    }
}

/// The raw figures first, then the work, then the disk once more: a disk that slows down or is
/// shared is seen by both.
async fn measure(plan: Plan, target: &Target, topic: &TopicName) -> Result<Measured, Failure> {
    let payload = Arc::new(Payload::new(plan.size));
    let now = logmill_engine::clock::now();
    let batch = payload.batch(0, plan.batch, now).map_err(anyhow::Error::from)?;
    let chunk = batch.compress(plan.compression).bytes().clone();
    let settings = Settings::check(Config::new(PathBuf::new())).map_err(anyhow::Error::from)?;
    let data = target.data.as_deref().ok();

    let quic = raw_quic::measure(&settings, plan.connections, chunk.clone()).await?;
    let mut disk = raw_disk(data, chunk.clone()).await?;
    let load = Load::connect(plan, Arc::clone(&payload), &target.options, topic).await?;
    let before = (target.synced(), CpuTicks::now());
    let done = work(load, plan).await?;
    let after = (target.synced(), CpuTicks::now());
    if let (Some(disk), Some(again)) = (&mut disk, raw_disk(data, chunk.clone()).await?) {
        disk.add(&again);
    }
    let synced = match (before.0, after.0) {
        (Some(before), Some(after)) => synced(before, after, data, &chunk).await?,
        _ => None,
    };
    let cpu = before.1.zip(after.1).and_then(|(before, after)| after.busy_since(before));
    Ok(Measured { done, chunk_bytes: chunk.len(), quic, disk, synced, cpu })
}

async fn work(load: Load, plan: Plan) -> Result<Done, Failure> {
    let progress = terminal::counter("records");
    progress.set_length(plan.records);
    let done = load.run(&progress).await;
    progress.finish_and_clear();
    done
}

/// The disk alone, at the size that the broker wrote to a sync.
async fn synced(
    (bytes_before, syncs_before): (u64, u64),
    (bytes, syncs): (u64, u64),
    data: Option<&Path>,
    chunk: &[u8],
) -> Result<Option<Synced>, Failure> {
    let Some(bytes) = (bytes - bytes_before).checked_div(syncs - syncs_before) else {
        return Ok(None);
    };
    let length = usize::try_from(bytes).unwrap_or(chunk.len());
    let group: Vec<u8> = chunk.iter().copied().cycle().take(length).collect();
    let disk = raw_disk(data, group.into()).await?;
    Ok(disk.map(|disk| Synced { bytes, disk }))
}

/// None where the broker's disk is not at hand, or may not be written to.
async fn raw_disk(data: Option<&Path>, chunk: bytes::Bytes) -> Result<Option<RawDisk>, Failure> {
    let Some(data) = data.map(Path::to_owned) else { return Ok(None) };
    let shown = data.display().to_string();
    let measured = tokio::task::spawn_blocking(move || RawDisk::measure(&data, &chunk)).await;
    match measured.map_err(anyhow::Error::from)? {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(None),
        measured => {
            Ok(Some(measured.with_context(|| format!("can't measure the disk of {shown}"))?))
        }
    }
}
