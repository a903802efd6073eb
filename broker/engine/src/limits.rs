//! The engine's bounds.

use std::time::Duration;

use logmill_model::limits::{COMMIT_BYTES_MAX, STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX};

/// Bytes of commits between `propose` and durable, of all proposers together.
pub(crate) const PROPOSALS_BYTES_MAX: usize = 64 << 20;
/// Commits that wait for the sequencer.
pub(crate) const PROPOSALS_MAX: usize = 8192;
/// How often a catalog change is tried again when another one came between.
pub(crate) const CATALOG_TRIES_MAX: usize = 16;

/// Records that a lane handles before it commits.
pub(crate) const RUN_RECORDS_MAX: usize = 256;
/// Commits of a lane that are on their way at once.
pub(crate) const COMMITS_AHEAD_MAX: usize = 4;
/// Records that a lane takes up in one run of those that it left behind.
pub(crate) const TAKE_UP_MAX: usize = 64;
/// Bytes of records that a lane may leave behind under `order = key`. They stay in the log: what is
/// bounded is what has to be read again.
pub(crate) const PARKED_BYTES_MAX: u64 = 64 << 20;
/// Requests to take dead letters back that wait for a lane.
pub(crate) const LANE_MAIL_MAX: usize = 4;
/// Records that a lane may leave behind: changing all of them is one batch.
pub(crate) const HOLES_MAX: usize = 40_000;
/// Holes of lanes that have ended that are deleted in one commit.
pub(crate) const ORPHANS_MAX: usize = 1000;
/// How long a lane handles records before it commits.
pub(crate) const RUN_TIME_MAX: Duration = Duration::from_millis(20);
/// Bytes of outputs and dead letters that a lane gathers before it commits.
pub(crate) const RUN_BYTES_MAX: usize = 2 << 20;
/// Records in a row on which a deployment's module breaks before it is paused.
pub(crate) const BROKEN_RECORDS_MAX: u32 = 20;
/// Deployments that wait to be paused for it.
pub(crate) const ALARMS_MAX: usize = 64;
/// Bytes that a lane reads at once.
pub(crate) const READ_BYTES_MAX: usize = 1 << 20;

/// What a lane remembers, in bytes: its keys, their values, and 128 for each.
pub(crate) const STATE_BYTES_MAX: usize = 16 << 20;
/// What one call may change of it, in bytes counted alike.
pub(crate) const STATE_CALL_BYTES_MAX: usize = 2 << 20;
/// Keys that a deployment has claimed within its window, those of records under way among them: 236 MB.
pub(crate) const CLAIMS_MAX: usize = 10_800_000;
/// Keys that one call may claim, in bytes, with 64 for each.
pub(crate) const CLAIMS_CALL_BYTES_MAX: usize = 1 << 20;
/// Claims that are let go of at once.
pub(crate) const EXPIRE_MAX: usize = 4096;
/// How often a lane that has nothing to do lets go of claims.
pub(crate) const EXPIRE_EVERY: Duration = Duration::from_secs(60);
/// Keys of what lanes remember that are told at once, and their bytes, the last one excepted.
pub(crate) const STATE_PAGE_MAX: u32 = 1000;
pub(crate) const STATE_PAGE_BYTES_MAX: usize = 1 << 20;

/// Bytes of outputs of all routers for one batch.
pub(crate) const ROUTE_BYTES_MAX: usize = 4 << 20;
/// What one batch may take of all routers together.
pub(crate) const ROUTE_TIME_MAX: Duration = Duration::from_secs(10);
/// Modules that a record may have come through.
pub(crate) const HOPS_MAX: u8 = 16;
/// Idle instances that a router keeps.
pub(crate) const ROUTER_INSTANCES_MAX: usize = 8;

/// A call that runs longer than this makes the pool add a worker.
pub(crate) const SLICE: Duration = Duration::from_millis(2);
/// Worker threads of the pool, beyond one per core.
pub(crate) const EXTRA_WORKERS_MAX: usize = 32;
/// Jobs that wait for a worker.
pub(crate) const JOBS_MAX: usize = 4096;

/// Bytes of log lines that are kept for each deployment.
pub(crate) const MODULE_LOG_BYTES_MAX: usize = 1 << 20;

/// Runs of one deployment that read and call at once, over all its lanes.
pub(crate) const RUNS_MAX: usize = 8;
/// How long a broker that stops waits for lanes to settle what they are handling.
pub(crate) const LANES_SETTLE_MAX: Duration = Duration::from_secs(4);
/// How long a broker that stops waits for a deploy that is under way.
pub(crate) const CONTROL_WAIT_MAX: Duration = Duration::from_secs(2);
/// What a filter may take of a worker before it lets others work.
pub(crate) const FILTER_TIME_MAX: Duration = Duration::from_millis(20);
/// Bytes of batches that a filter lets through before they are served, a single batch excepted.
pub(crate) const FILTER_BYTES_MAX: usize = 1 << 20;
/// Compiled modules that are kept though nothing uses them.
pub(crate) const COMPILED_MODULES_MAX: usize = 8;

/// Decisions of a deployment that a trace of a record looks through, in bytes: some millions.
pub(crate) const TRACE_BYTES_MAX: usize = 64 << 20;
/// What it reads of them at once, in bytes.
pub(crate) const TRACE_READ_BYTES: usize = 1 << 20;

/// What one read of an internal topic takes at the start, in bytes.
pub(crate) const REPLAY_BYTES_MAX: usize = 1 << 20;
/// Starts of partitions that retention moves in one commit.
pub(crate) const STARTS_MAX: usize = 4096;
/// How long retention leaves the age of a topic's records alone, in milliseconds.
pub(crate) const AGE_CHECK_MS_MAX: u64 = 60_000;

/// Blocks of 4096 dead letters of which some are not open: about 1150 bytes each.
pub(crate) const LETTER_BLOCKS_MAX: usize = 56 << 10;
/// How often a change of dead letters is tried again when another one came between.
pub(crate) const LETTERS_TRIES_MAX: usize = 16;
/// What is read of dead letters for one page, in bytes.
pub(crate) const SCAN_BYTES_MAX: usize = 4 << 20;
/// Blocks of dead letters whose marks are deleted in one commit.
pub(crate) const SWEEP_MAX: usize = 1024;

/// How long a lane waits before it tries again what its surroundings refused.
pub(crate) const LANE_RETRY_WAIT: Duration = Duration::from_millis(500);

const _: () = assert!(RUNS_MAX < EXTRA_WORKERS_MAX);
const _: () = assert!(RUN_BYTES_MAX * 2 < COMMIT_BYTES_MAX);
const _: () = assert!(COMMIT_BYTES_MAX < PROPOSALS_BYTES_MAX);
// A run of one record has room for all that its call may write and change.
const _: () = assert!(
    logmill_wasm::Limits::OUTPUT_BYTES as usize + STATE_CALL_BYTES_MAX + CLAIMS_CALL_BYTES_MAX
        < COMMIT_BYTES_MAX
);
const _: () = assert!(STATE_VALUE_BYTES_MAX + STATE_KEY_BYTES_MAX + 128 < STATE_CALL_BYTES_MAX);

/// How much the log grows from one snapshot of the internal topics to the next, in bytes.
pub(crate) const SNAPSHOT_LOG_BYTES: u64 = 64 * 1024 * 1024;
/// How often it is asked whether a snapshot is due.
pub(crate) const SNAPSHOT_EVERY: Duration = Duration::from_secs(10);

/// What is known of producers, in bytes.
pub(crate) const PRODUCERS_BYTES_MAX: usize = 64 << 20;
/// Idempotency keys that are remembered within their windows, of all topics together: about 100 bytes
/// each.
pub(crate) const KEYS_MAX: usize = 2 << 20;
/// Records of a batch that were not stored and that are told again when it comes again.
pub(crate) const KEPT_DUPLICATES_MAX: usize = 64;
/// Records that a batch may have to be looked at for their keys where it is.
pub(crate) const KEYS_INLINE_MAX: u32 = 512;
/// Records of `_producers` that a checkpoint puts into one commit: they fit a batch.
pub(crate) const CHECKPOINT_RECORDS_MAX: usize = 1024;
/// How much the log grows from one checkpoint of the producers to the next, in bytes.
pub(crate) const CHECKPOINT_LOG_BYTES: usize = 64 << 20;
/// How much it grows at least for each byte of a checkpoint.
pub(crate) const CHECKPOINT_PART: usize = 8;

/// How often the housekeeper asks whether there is something to clean.
pub(crate) const CLEAN_EVERY: Duration = Duration::from_millis(200);
/// How often it looks though nothing has happened: tombstones grow old.
pub(crate) const CLEAN_AGAIN_EVERY: Duration = Duration::from_secs(600);
/// How long it waits after a failure, such as a full disk.
pub(crate) const CLEAN_FAILED_WAIT: Duration = Duration::from_secs(5);
