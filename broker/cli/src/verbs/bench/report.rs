//! What is told of a run: an object for scripts, a small table for people, and what limits.

use serde::Serialize;

use super::latency::{Percentiles, Tail};
use super::load::Done;
use super::machine::Machine;
use super::plan::Plan;
use super::raw_disk::RawDisk;
use super::raw_quic::RawQuic;
use crate::codec::Codec;
use crate::quantity::shown_bytes;
use crate::{Failure, Output};

/// From this part of what a thing can do alone, it is what limits.
const AT_ITS_END: f64 = 0.8;
/// From this part of the rate that was asked for, it was reached.
const REACHED: f64 = 0.98;

/// All that was measured in one run.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) done: Done,
    /// Of a batch as it is sent and stored.
    pub(super) chunk_bytes: usize,
    pub(super) quic: RawQuic,
    /// At the size of a batch, where the broker's disk is at hand.
    pub(super) disk: Option<RawDisk>,
    pub(super) synced: Option<Synced>,
    /// How busy this machine's processors were, from 0 to 1.
    pub(super) cpu: Option<f64>,
}

/// What the broker wrote to a sync, on average, and what the disk does at that size.
#[derive(Debug)]
pub(super) struct Synced {
    pub(super) bytes: u64,
    pub(super) disk: RawDisk,
}

/// The object for scripts. Its names are promised.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(skip)]
    told: String,
    work: &'static str,
    records: u64,
    size: usize,
    batch: u32,
    connections: u32,
    in_flight: u32,
    compression: Codec,
    rate: Option<u64>,
    broker: String,
    elapsed_ms: u64,
    records_per_s: f64,
    /// Of values, in millions of bytes.
    mb_per_s: f64,
    latency_us: Percentiles,
    raw: Raw,
    ratio: Ratio,
    cpu_busy: Option<f64>,
    limit: Limit,
    machine: Machine,
    command: String,
}

#[derive(Debug, Serialize)]
struct Raw {
    /// A batch as it is sent and stored: what the raw figures and the ratios are of.
    chunk_bytes: usize,
    disk_mb_s: Option<f64>,
    fdatasync_us: Option<Tail>,
    quic_mb_s: f64,
    quic_echo_us: Option<Tail>,
    /// What the broker wrote to a sync, on average.
    sync_bytes: Option<u64>,
    /// The disk alone in chunks of that size.
    disk_at_sync_bytes_mb_s: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Ratio {
    of_disk: Option<f64>,
    of_quic: f64,
}

/// Whose run it was.
#[derive(Debug)]
pub(super) struct Circumstances {
    /// The broker, in a person's words.
    pub(super) told: String,
    pub(super) broker: String,
    pub(super) machine: Machine,
    pub(super) command: String,
}

impl Report {
    pub(super) fn of(plan: &Plan, measured: &Measured, around: Circumstances) -> Self {
        let Measured { done, chunk_bytes, quic, disk, synced, cpu } = measured;
        let seconds = done.elapsed.as_secs_f64();
        let mb_per_s = plan.bytes() as f64 / 1e6 / seconds;
        // As sent and stored, since that is what the raw figures are of.
        let batches = plan.records as f64 / f64::from(plan.batch);
        let chunks_mb_per_s = batches * *chunk_bytes as f64 / 1e6 / seconds;
        let at_sync = synced.as_ref().map(|synced| synced.disk.mb_per_s());
        let shares = Shares {
            rate: plan.rate.map(|rate| plan.records as f64 / seconds / rate as f64),
            in_flight: u64::from(plan.connections) * u64::from(plan.in_flight),
            disk: at_sync.map(|alone| chunks_mb_per_s / alone),
            quic: chunks_mb_per_s / quic.mb_per_s,
            cpu: *cpu,
        };
        Self {
            told: around.told,
            work: "produce",
            records: plan.records,
            size: plan.size,
            batch: plan.batch,
            connections: plan.connections,
            in_flight: plan.in_flight,
            compression: plan.compression.into(),
            rate: plan.rate,
            broker: around.broker,
            elapsed_ms: u64::try_from(done.elapsed.as_millis()).unwrap_or(u64::MAX),
            records_per_s: rounded(plan.records as f64 / seconds, 10.0),
            mb_per_s: rounded(mb_per_s, 1000.0),
            latency_us: done.latencies.percentiles(),
            raw: Raw {
                chunk_bytes: *chunk_bytes,
                disk_mb_s: disk.as_ref().map(|disk| rounded(disk.mb_per_s(), 1000.0)),
                fdatasync_us: disk.as_ref().and_then(|disk| disk.syncs.middle_and_tail()),
                quic_mb_s: rounded(quic.mb_per_s, 1000.0),
                quic_echo_us: quic.echo,
                sync_bytes: synced.as_ref().map(|synced| synced.bytes),
                disk_at_sync_bytes_mb_s: at_sync.map(|alone| rounded(alone, 1000.0)),
            },
            ratio: Ratio {
                of_disk: disk
                    .as_ref()
                    .map(|disk| rounded(chunks_mb_per_s / disk.mb_per_s(), 1000.0)),
                of_quic: rounded(chunks_mb_per_s / quic.mb_per_s, 1000.0),
            },
            cpu_busy: cpu.map(|cpu| rounded(cpu, 1000.0)),
            limit: shares.limit(),
            machine: around.machine,
            command: around.command,
        }
    }

    /// Tells it.
    pub(super) fn tell(&self, output: &mut Output) -> Result<(), Failure> {
        output.json(self)?;
        let plural = |n: u32, one: &str, more: &str| {
            if n == 1 { format!("1 {one}") } else { format!("{n} {more}") }
        };
        output.text(format_args!("broker   {}", self.told))?;
        output.text(format_args!(
            "work     {} records of {}, {} to a batch of {}; {}, {} in flight on each; {:.1} s",
            self.records,
            shown_bytes(self.size as u64),
            self.batch,
            shown_bytes(self.raw.chunk_bytes as u64),
            plural(self.connections, "connection", "connections"),
            plural(self.in_flight, "batch", "batches"),
            self.elapsed_ms as f64 / 1000.0,
        ))?;
        output.text("")?;
        output
            .table(&["", "MB/s", "records/s", "p50", "p90", "p99", "p99.9", "max"], self.rows())?;
        output.text("")?;
        self.tell_of_raw(output)?;
        let Machine { cores, cpu, fs } = &self.machine;
        output.text(format_args!("limit    {}", self.told_limit()))?;
        output.text(format_args!(
            "machine  {cores} cores, {}, {}",
            cpu.as_deref().unwrap_or("processor unknown"),
            fs.as_deref().unwrap_or("file system unknown"),
        ))?;
        output.text(format_args!("command  {}", self.command))
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let row = |name: &str, mb_s: f64, rest: [String; 6]| {
            let mut row = vec![name.to_owned(), mb(mb_s)];
            row.extend(rest);
            row
        };
        let none = String::new;
        let tail = |tail: Option<Tail>| {
            let (p50, p99) = tail.map_or_else(Default::default, |it| (us(it.p50), us(it.p99)));
            [none(), p50, none(), p99, none(), none()]
        };
        let (it, raw) = (self.latency_us, &self.raw);
        let [p50, p90, p99, p999, max] = [it.p50, it.p90, it.p99, it.p999, it.max].map(us);
        let records = format!("{:.0}", self.records_per_s);
        let mut rows = vec![row("produce", self.mb_per_s, [records, p50, p90, p99, p999, max])];
        rows.extend(raw.disk_mb_s.map(|mb_s| row("raw disk", mb_s, tail(raw.fdatasync_us))));
        rows.push(row("raw QUIC", raw.quic_mb_s, tail(raw.quic_echo_us)));
        rows
    }

    fn tell_of_raw(&self, output: &mut Output) -> Result<(), Failure> {
        let percent = |ratio: f64| format!("{:.0} %", ratio * 100.0);
        match self.ratio.of_disk {
            Some(ratio) => output.text(format_args!(
                "disk     {} of the disk alone, which writes the same chunks and waits for fdatasync after each",
                percent(ratio)
            ))?,
            None => output.text("disk     not measured: the broker's data directory is not known on this machine")?,
        }
        if let (Some(bytes), Some(alone)) = (self.raw.sync_bytes, self.raw.disk_at_sync_bytes_mb_s)
        {
            output.text(format_args!(
                "         the broker wrote {} to an fdatasync; at that size the disk alone does {} MB/s",
                shown_bytes(bytes),
                mb(alone)
            ))?;
        }
        output.text(format_args!(
            "network  {} of QUIC alone, on loopback with both ends in this process; its latency is a chunk's echo",
            percent(self.ratio.of_quic)
        ))
    }

    fn told_limit(&self) -> String {
        let busy = self.cpu_busy.map_or_else(String::new, |busy| {
            format!(
                " (this machine's processors were {:.0} % busy, with whatever else ran)",
                busy * 100.0
            )
        });
        let what = match self.limit {
            Limit::Rate => "the rate that was asked for",
            Limit::RoundTrip => "the round trip: one batch at a time waits for its ack",
            Limit::Disk => "the disk",
            Limit::Network => "the network",
            Limit::Cpu => "the processors",
            Limit::Unknown => {
                "not known: neither disk nor network nor processors were at their end; try more --in-flight or --connections"
            }
        };
        format!("{what}{busy}")
    }
}

/// What kept a run from being faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Limit {
    Rate,
    Disk,
    Network,
    Cpu,
    RoundTrip,
    Unknown,
}

/// How near things were to what they can do alone, from 0 to 1.
#[derive(Debug, Clone, Copy)]
struct Shares {
    /// Of the rate that was asked for.
    rate: Option<f64>,
    /// Batches that may be on their way.
    in_flight: u64,
    disk: Option<f64>,
    quic: f64,
    cpu: Option<f64>,
}

impl Shares {
    /// What kept the run from being faster, if what was measured tells.
    fn limit(self) -> Limit {
        let at_end = |share: Option<f64>| share.is_some_and(|share| share >= AT_ITS_END);
        if self.rate.is_some_and(|rate| rate >= REACHED) {
            Limit::Rate
        } else if self.in_flight == 1 {
            Limit::RoundTrip
        } else if at_end(self.disk) {
            Limit::Disk
        } else if at_end(Some(self.quic)) {
            Limit::Network
        } else if at_end(self.cpu) {
            Limit::Cpu
        } else {
            Limit::Unknown
        }
    }
}

fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

/// Millions of bytes as people read them, small ones too.
fn mb(mb: f64) -> String {
    if mb < 1.0 { format!("{mb:.3}") } else { format!("{mb:.1}") }
}

/// Microseconds as people read them.
fn us(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Shares =
        Shares { rate: None, in_flight: 64, disk: Some(0.3), quic: 0.2, cpu: Some(0.5) };

    #[test]
    fn what_limits_is_what_was_at_its_end() {
        for (shares, limit) in [
            (NONE, Limit::Unknown),
            (Shares { rate: Some(0.99), disk: Some(1.0), ..NONE }, Limit::Rate),
            (Shares { rate: Some(0.9), disk: Some(1.0), ..NONE }, Limit::Disk),
            (Shares { quic: 0.85, ..NONE }, Limit::Network),
            (Shares { cpu: Some(0.97), ..NONE }, Limit::Cpu),
            (Shares { disk: None, cpu: None, ..NONE }, Limit::Unknown),
            (Shares { in_flight: 1, cpu: Some(1.0), ..NONE }, Limit::RoundTrip),
        ] {
            assert_eq!(shares.limit(), limit, "{shares:?}");
        }
    }

    #[test]
    fn times_are_shown_in_the_unit_that_fits() {
        for (time, shown) in [(0, "0 µs"), (999, "999 µs"), (1500, "1.5 ms"), (2_500_000, "2.5 s")]
        {
            assert_eq!(us(time), shown);
        }
    }
}
