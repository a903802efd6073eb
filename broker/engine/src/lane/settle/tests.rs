//! The whole table.

use super::*;

const NOW: Moment = Moment { now: Timestamp(1_000), jitter: 0 };

fn policy(max_attempts: u32) -> Policy {
    Policy { max_attempts, backoff: Backoff::Fixed(50) }
}

fn failed(attempts: u32) -> FailedAttempts {
    FailedAttempts {
        attempts,
        first_failed_ts: Timestamp(10),
        last_failed_ts: Timestamp(20),
        retry_at: Timestamp(30),
    }
}

fn failure(reason: FailureReason) -> Result<Verdict, Failure> {
    Err(Failure { reason, detail: "why".into(), instance_lost: true })
}

fn retry(after_ms: Option<u64>) -> Result<Verdict, Failure> {
    Ok(Verdict::Retry(RetryRequest { after_ms, reason: "why".into() }))
}

fn every_failure() -> Vec<(FailureReason, Result<Verdict, Failure>)> {
    let mut table: Vec<_> = [
        FailureReason::Error,
        FailureReason::Trap,
        FailureReason::Deadline,
        FailureReason::Memory,
        FailureReason::OutputLimit,
        FailureReason::NotGranted,
        FailureReason::InvalidOutput,
        FailureReason::StateLimit,
        FailureReason::MissingKey,
        FailureReason::Hops,
        FailureReason::InvalidRecord,
    ]
    .map(|reason| (reason, failure(reason)))
    .into();
    table.push((FailureReason::Retry, retry(None)));
    table
}

#[test]
fn done_and_drop_settle_at_any_attempt() {
    for before in [None, Some(failed(1)), Some(failed(4))] {
        let outputs = vec![Output::default()];
        let done = settle(Ok(Verdict::Done(outputs.clone())), before.as_ref(), &policy(1), NOW);
        assert_eq!(done, Settled::Done(outputs));
        let dropped = settle(Ok(Verdict::Drop("x".into())), before.as_ref(), &policy(1), NOW);
        assert_eq!(dropped, Settled::Dropped);
    }
}

#[test]
fn every_failure_is_parked_until_the_attempts_run_out_and_keeps_its_own_reason() {
    for (reason, result) in every_failure() {
        let first = settle(result.clone(), None, &policy(3), NOW);
        let expected = FailedAttempts {
            attempts: 1,
            first_failed_ts: NOW.now,
            last_failed_ts: NOW.now,
            retry_at: Timestamp(1_050),
        };
        assert_eq!(first, Settled::Parked(expected), "{reason}");
        let second = settle(result.clone(), Some(&failed(1)), &policy(3), NOW);
        assert!(matches!(&second, Settled::Parked(it) if it.attempts == 2), "{reason}");
        let third = settle(result, Some(&failed(2)), &policy(3), NOW);
        let burial = Burial {
            reason,
            detail: "why".into(),
            attempts: 3,
            first_failed_ts: Timestamp(10),
            last_failed_ts: NOW.now,
        };
        assert_eq!(third, Settled::Buried(burial), "{reason}");
    }
}

#[test]
fn one_attempt_means_none_is_parked() {
    for (reason, result) in every_failure() {
        let settled = settle(result, None, &policy(1), NOW);
        assert!(matches!(&settled, Settled::Buried(it) if it.attempts == 1 && it.reason == reason));
    }
}

#[test]
fn a_dead_letter_verdict_needs_no_further_attempt() {
    let settled = settle(Ok(Verdict::DeadLetter("bad".into())), None, &policy(5), NOW);
    let Settled::Buried(burial) = settled else { panic!("{settled:?}") };
    assert_eq!((burial.reason, burial.attempts), (FailureReason::Rejected, 1));
    assert_eq!(burial.detail, "bad");
}

#[test]
fn a_record_that_ends_the_process_is_given_up_whatever_attempts_are_left() {
    let settled = settle(failure(FailureReason::Crash), Some(&failed(2)), &policy(50), NOW);
    let Settled::Buried(burial) = settled else { panic!("{settled:?}") };
    assert_eq!((burial.reason, burial.attempts), (FailureReason::Crash, 3));
}

#[test]
fn a_module_chooses_its_delay_up_to_seven_days() {
    let settled = settle(retry(Some(7)), None, &policy(5), NOW);
    assert!(matches!(settled, Settled::Parked(it) if it.retry_at == Timestamp(1_007)));
    let settled = settle(retry(Some(Backoff::MS_MAX + 1)), Some(&failed(4)), &policy(5), NOW);
    assert!(matches!(settled, Settled::Buried(it) if it.reason == FailureReason::InvalidOutput));
}

#[test]
fn each_outcome_is_counted_once() {
    let mut counts = Counts::default();
    count(&mut counts, &Settled::Done(vec![Output::default(); 3]), None);
    count(&mut counts, &Settled::Dropped, None);
    count(&mut counts, &Settled::Parked(failed(1)), Some(FailureReason::Error));
    count(&mut counts, &Settled::Parked(failed(1)), Some(FailureReason::Deadline));
    count(&mut counts, &Settled::Parked(failed(1)), Some(FailureReason::Trap));
    count(&mut counts, &Settled::Parked(failed(1)), Some(FailureReason::Retry));
    let expected = Counts {
        done: 1,
        outputs: 3,
        dropped: 1,
        retried: 4,
        errors: 1,
        timed_out: 1,
        trapped: 1,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
}
