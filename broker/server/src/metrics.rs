//! All metrics of the broker's face, named as the steps of a record's path: it is *received* from a
//! producer, *acked* when it is durable (or *refused*), and *sent* to subscribers. What happens in
//! between is recorded by the engine and the log, in the same registry.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use logmill_engine::Engine;
use logmill_model::DeploymentName;
use logmill_wire::{ErrorCode, StreamKind};
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::limits;

const CONNECTIONS: &str = "logmill_connections";
const CONNECTIONS_TOTAL: &str = "logmill_connections_total";
const CONNECTIONS_REFUSED: &str = "logmill_connections_refused_total";
const STREAMS: &str = "logmill_streams";
const RECEIVED_FRAMES: &str = "logmill_received_frames_total";
const RECEIVED_RECORDS: &str = "logmill_received_records_total";
const RECEIVED_BYTES: &str = "logmill_received_bytes_total";
const ACKED_FRAMES: &str = "logmill_acked_frames_total";
const ACK_SECONDS: &str = "logmill_ack_seconds";
const SENT_FRAMES: &str = "logmill_sent_frames_total";
const SENT_RECORDS: &str = "logmill_sent_records_total";
const SENT_BYTES: &str = "logmill_sent_bytes_total";
const REQUESTS: &str = "logmill_requests_total";
const FAULTS: &str = "logmill_faults_total";
const SYNCS: &str = "logmill_journal_syncs_total";
const ENTRIES: &str = "logmill_durable_commits_total";
const ENTRY_BYTES: &str = "logmill_durable_bytes_total";
const CORRUPT_HOLES: &str = "logmill_corrupt_holes";
const JOURNAL_BYTES: &str = "logmill_journal_bytes";
const CLEANER_JOBS: &str = "logmill_cleaner_jobs_total";
const CLEANER_FAILED: &str = "logmill_cleaner_failed_jobs_total";
const CLEANER_BYTES: &str = "logmill_cleaner_bytes_total";
const CLEANER_FILES: &str = "logmill_cleaner_removed_files_total";
const CLEANER_SEGMENTS: &str = "logmill_cleaner_segments_total";
const CLEANER_WON: &str = "logmill_cleaner_won_bytes_total";
const CLEANER_BACKLOG: &str = "logmill_cleaner_backlog_bytes";
const DISK_FREE_BYTES: &str = "logmill_disk_free_bytes";
const DISK_LEVEL: &str = "logmill_disk_level";

const LANE_RECORDS: &str = "logmill_lane_records_total";
const LANE_FAILED: &str = "logmill_lane_failed_attempts_total";
const LANE_OUTPUTS: &str = "logmill_lane_outputs_total";
const LANE_CALLS: &str = "logmill_lane_calls_total";
const LANE_CALL_SECONDS: &str = "logmill_lane_call_seconds";
const LANE_RUN_SECONDS: &str = "logmill_lane_run_seconds";
const LANE_COMMIT_SECONDS: &str = "logmill_lane_commit_seconds";
const RUNS: &str = "logmill_deployment_runs";
const LAG_RECORDS: &str = "logmill_deployment_lag_records";
const LAG_SECONDS: &str = "logmill_deployment_lag_seconds";
const PARKED: &str = "logmill_deployment_parked_records";

/// From 10 µs to 10 s: a call of a module at the low end, a struggling disk at the high one.
const SECONDS_BUCKETS: [f64; 18] = [
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5,
    1.0, 2.5, 10.0,
];

/// The process's registry, installed at the first call. Servers of one process share it, since
/// `metrics` records into one for all.
pub(crate) fn registry() -> PrometheusHandle {
    static REGISTRY: OnceLock<PrometheusHandle> = OnceLock::new();
    REGISTRY.get_or_init(install).clone()
}

fn install() -> PrometheusHandle {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
        .expect("the list of buckets is not empty")
        .build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another metrics recorder is installed; /metrics stays empty");
    }
    describe();
    handle
}

fn describe() {
    describe_gauge!(CONNECTIONS, "Clients connected now.");
    describe_counter!(CONNECTIONS_TOTAL, "Clients whose hello was accepted.");
    describe_counter!(CONNECTIONS_REFUSED, "Connection attempts turned away, by reason.");
    describe_gauge!(STREAMS, "Streams open now, by kind.");
    describe_counter!(RECEIVED_FRAMES, "Batches received from producers.");
    describe_counter!(RECEIVED_RECORDS, "Records received from producers in sound batches.");
    describe_counter!(RECEIVED_BYTES, Unit::Bytes, "Bytes of batches received from producers.");
    describe_counter!(ACKED_FRAMES, "Batches acknowledged as durable.");
    describe_histogram!(ACK_SECONDS, Unit::Seconds, "From a batch received whole to its ack.");
    describe_counter!(SENT_FRAMES, "Batches sent to subscribers.");
    describe_counter!(SENT_RECORDS, "Records sent to subscribers.");
    describe_counter!(SENT_BYTES, Unit::Bytes, "Bytes of batches sent to subscribers.");
    describe_counter!(REQUESTS, "Control requests, by operation.");
    describe_lanes();
    describe_counter!(FAULTS, "Refusals told to clients, by error.");
    describe_counter!(SYNCS, "Syncs of the journal, each for all commits that waited.");
    describe_counter!(ENTRIES, "Commits made durable.");
    describe_counter!(ENTRY_BYTES, Unit::Bytes, "Bytes of commits made durable.");
    describe_gauge!(CORRUPT_HOLES, "Places of the log that can't be read, as far as found.");
    describe_gauge!(JOURNAL_BYTES, Unit::Bytes, "Bytes of the log's files.");
    describe_counter!(CLEANER_JOBS, "Cleanings done.");
    describe_counter!(CLEANER_FAILED, "Cleanings that failed.");
    describe_counter!(CLEANER_BYTES, Unit::Bytes, "Bytes that cleaning has read and written.");
    describe_counter!(CLEANER_FILES, "Files that cleaning has removed.");
    describe_counter!(CLEANER_SEGMENTS, "Segments that cleaning has made.");
    describe_counter!(CLEANER_WON, Unit::Bytes, "Bytes that cleaning has won back.");
    describe_gauge!(CLEANER_BACKLOG, Unit::Bytes, "Bytes that cleaning could win back.");
    describe_gauge!(JOURNAL_BYTES, Unit::Bytes, "Bytes of the journal's files.");
    describe_gauge!(DISK_FREE_BYTES, Unit::Bytes, "Bytes free on the disk of the data directory.");
    describe_gauge!(
        DISK_LEVEL,
        "0: there is room; 1: full, no records are taken in; 2: only what frees space is."
    );
}

fn describe_lanes() {
    describe_counter!(LANE_RECORDS, "What became of records, by deployment and outcome.");
    describe_counter!(LANE_FAILED, "Attempts that failed, by deployment and cause.");
    describe_counter!(LANE_OUTPUTS, "Records that modules have put out, by deployment.");
    describe_counter!(LANE_CALLS, "Calls of modules, by deployment.");
    describe_histogram!(
        LANE_CALL_SECONDS,
        Unit::Seconds,
        "How long a call takes: the first one of each run of calls."
    );
    describe_histogram!(
        LANE_RUN_SECONDS,
        Unit::Seconds,
        "How long the calls take that are committed together."
    );
    describe_histogram!(LANE_COMMIT_SECONDS, Unit::Seconds, "From a run's end to its commit.");
    describe_gauge!(RUNS, "1 when the deployment is meant to run, 0 when it is paused or deleted.");
    describe_gauge!(LAG_RECORDS, "Records without an outcome, by deployment.");
    describe_gauge!(LAG_SECONDS, Unit::Seconds, "Age of the oldest record without an outcome.");
    describe_gauge!(PARKED, "Records that wait for another attempt, or for one that does.");
}

/// Tells how far deployments are behind. May wait for the disk.
pub(crate) fn poll_lags(engine: &Engine) {
    static KNOWN: Mutex<BTreeSet<DeploymentName>> = Mutex::new(BTreeSet::new());
    let lags = engine.lags();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    // The registry keeps what it has seen; what is gone is at rest.
    for name in std::mem::take(&mut *known) {
        if !lags.iter().any(|lag| lag.name == name) {
            for gauge in [RUNS, LAG_RECORDS, LAG_SECONDS, PARKED] {
                gauge!(gauge, "deployment" => name.to_string()).set(0.0);
            }
        }
    }
    for lag in lags {
        let gauge = |gauge: &'static str| gauge!(gauge, "deployment" => lag.name.to_string());
        gauge(RUNS).set(f64::from(u8::from(lag.runs)));
        gauge(LAG_RECORDS).set(lag.records as f64);
        gauge(PARKED).set(lag.parked as f64);
        if let Some(ms) = lag.age_ms {
            gauge(LAG_SECONDS).set(ms as f64 / 1000.0);
        }
        known.insert(lag.name);
    }
}

/// Folds histograms from time to time, so that what nobody scrapes does not pile up. Never ends.
pub(crate) async fn keep_up() {
    let registry = registry();
    let mut ticks = tokio::time::interval(limits::METRICS_UPKEEP);
    loop {
        ticks.tick().await;
        registry.run_upkeep();
    }
}

/// Takes over what the log counts itself: it does so for one engine, before its metrics are shown.
pub(crate) fn poll(engine: &Engine) {
    let stats = engine.log_stats();
    counter!(SYNCS).absolute(stats.syncs);
    counter!(ENTRIES).absolute(stats.entries);
    counter!(ENTRY_BYTES).absolute(stats.bytes);
    gauge!(CORRUPT_HOLES).set(engine.corrupt().len() as f64);
    gauge!(JOURNAL_BYTES).set(stats.journal_bytes as f64);
    let cleaner = *engine.watch_cleaner().borrow();
    counter!(CLEANER_JOBS).absolute(cleaner.jobs);
    counter!(CLEANER_FAILED).absolute(cleaner.failed_jobs);
    counter!(CLEANER_BYTES).absolute(cleaner.bytes);
    counter!(CLEANER_FILES).absolute(cleaner.files_removed);
    counter!(CLEANER_SEGMENTS).absolute(cleaner.segments);
    counter!(CLEANER_WON).absolute(cleaner.bytes_won);
    gauge!(CLEANER_BACKLOG).set(cleaner.backlog_bytes as f64);
    gauge!(DISK_FREE_BYTES).set(engine.disk_free_bytes() as f64);
    gauge!(DISK_LEVEL).set(f64::from(engine.space_level() as u8));
}

/// Counts up while it lives.
pub(crate) struct Open {
    gauge: metrics::Gauge,
}

impl Open {
    fn new(gauge: metrics::Gauge) -> Self {
        gauge.increment(1.0);
        Self { gauge }
    }

    /// A client whose hello was accepted.
    pub(crate) fn connection() -> Self {
        counter!(CONNECTIONS_TOTAL).increment(1);
        Self::new(gauge!(CONNECTIONS))
    }

    /// A stream of a client.
    pub(crate) fn stream(kind: StreamKind) -> Self {
        let kind = match kind {
            StreamKind::Hello => "hello",
            StreamKind::Control => "control",
            StreamKind::Produce => "produce",
            StreamKind::Subscribe => "subscribe",
            StreamKind::Upload => "upload",
        };
        Self::new(gauge!(STREAMS, "kind" => kind))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.decrement(1.0);
    }
}

/// A connection attempt was turned away.
pub(crate) fn connection_refused(reason: &'static str) {
    counter!(CONNECTIONS_REFUSED, "reason" => reason).increment(1);
}

/// A batch was received whole.
pub(crate) fn received(bytes: usize) {
    counter!(RECEIVED_FRAMES).increment(1);
    counter!(RECEIVED_BYTES).increment(bytes as u64);
}

/// A received batch is sound and holds these records.
pub(crate) fn received_records(records: u32) {
    counter!(RECEIVED_RECORDS).increment(records.into());
}

/// A batch is durable, this long after it was received.
pub(crate) fn acked(after: Duration) {
    counter!(ACKED_FRAMES).increment(1);
    histogram!(ACK_SECONDS).record(after);
}

/// A batch was sent to a subscriber.
pub(crate) fn sent(records: u32, bytes: usize) {
    counter!(SENT_FRAMES).increment(1);
    counter!(SENT_RECORDS).increment(records.into());
    counter!(SENT_BYTES).increment(bytes as u64);
}

/// A control request was understood.
pub(crate) fn request(operation: &'static str) {
    counter!(REQUESTS, "op" => operation).increment(1);
}

/// A client was told of an error.
pub(crate) fn fault(code: ErrorCode) {
    counter!(FAULTS, "code" => code.name()).increment(1);
}
