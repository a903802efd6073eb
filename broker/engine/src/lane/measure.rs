//! What a lane tells the metrics of each run: how often it called, what came of it, how long it took.

use std::time::Duration;

use logmill_model::Counts;
use metrics::{counter, histogram};

use super::Lane;
use super::run::Times;

impl Lane {
    /// What a run has added to the counts, and its times.
    pub(super) fn measure(
        &self,
        [before, after]: &[Counts; 2],
        times: &Times,
        committed: Duration,
    ) {
        let deployment = || self.context.deployment.clone();
        for (outcome, count) in [
            ("done", after.done - before.done),
            ("dropped", after.dropped - before.dropped),
            ("duplicates", after.duplicates - before.duplicates),
            ("retried", after.retried - before.retried),
            ("dead_lettered", after.dead_lettered - before.dead_lettered),
            ("lost", after.lost - before.lost),
        ] {
            if count > 0 {
                counter!("logmill_lane_records_total", "deployment" => deployment(), "outcome" => outcome)
                    .increment(count);
            }
        }
        for (cause, count) in [
            ("error", after.errors - before.errors),
            ("trap", after.trapped - before.trapped),
            ("deadline", after.timed_out - before.timed_out),
        ] {
            if count > 0 {
                counter!("logmill_lane_failed_attempts_total", "deployment" => deployment(), "cause" => cause)
                    .increment(count);
            }
        }
        counter!("logmill_lane_outputs_total", "deployment" => deployment())
            .increment(after.outputs - before.outputs);
        counter!("logmill_lane_calls_total", "deployment" => deployment()).increment(times.calls);
        if let Some(call) = times.first_call {
            histogram!("logmill_lane_call_seconds", "deployment" => deployment()).record(call);
            histogram!("logmill_lane_run_seconds", "deployment" => deployment()).record(times.run);
        }
        histogram!("logmill_lane_commit_seconds", "deployment" => deployment()).record(committed);
    }
}
