//! Each limit stops its own offender, with its own reason, and the broker goes on.

use std::time::{Duration, Instant};

use crate::support::{component, consumer, consumer_text, limits, start};
use crate::{RETURN_ERR, compiled, guest};
use logmill_model::{FailureReason, LogLevel, Verdict, World};
use logmill_wasm::Limits;

const LOOP: &str = "(loop $again (br $again)) (unreachable)";

#[test]
fn a_guest_that_does_nothing_wrong_is_done() {
    let mut guest = guest("(i32.const 0)", limits());
    for _ in 0..1000 {
        assert_eq!(guest.handle(), Ok(Verdict::Done(vec![])));
    }
}

#[test]
fn an_endless_loop_is_stopped_at_its_deadline() {
    let mut guest = guest(LOOP, Limits { deadline_ms: 50, ..limits() });
    let began = Instant::now();
    let failure = guest.failure();
    assert_eq!(failure.reason, FailureReason::Deadline);
    assert!(failure.detail.starts_with("used more than its deadline of 50 ms"), "{failure}");
    assert!(failure.instance_lost && guest.instance.is_lost());
    assert!(began.elapsed() >= Duration::from_millis(50), "{:?}", began.elapsed());
    // Bounded by the machine's load, not by the guest.
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn a_deadline_holds_on_every_instance() {
    let module = compiled(&consumer(LOOP));
    let limits = Limits { deadline_ms: 5, ..limits() };
    for _ in 0..10 {
        let mut guest = start(&module, World::Consumer, limits).unwrap();
        assert_eq!(guest.failure().reason, FailureReason::Deadline);
    }
}

/// Three guests for each core: each gets its whole deadline of CPU time,
/// though it takes longer by the clock on the wall.
#[test]
fn a_deadline_measures_work_and_not_waiting_for_a_core() {
    let module = compiled(&consumer(LOOP));
    let threads = std::thread::available_parallelism().unwrap().get() * 3;
    let limits = Limits { deadline_ms: 100, ..limits() };
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut guest = start(&module, World::Consumer, limits).unwrap();
                assert_eq!(guest.failure().reason, FailureReason::Deadline);
            });
        }
    });
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
}

#[test]
fn a_start_function_that_loops_is_stopped_too() {
    let text = consumer_text(&format!("(func $start {LOOP}) (start $start)"), "(i32.const 0)");
    let module = compiled(&component("consumer-module", &text));
    let limits = Limits { init_deadline_ms: 30, ..limits() };
    let failure = start(&module, World::Consumer, limits).err().unwrap();
    assert_eq!(failure.reason, FailureReason::Deadline);
    assert!(failure.detail.contains("deadline of 30 ms"), "{failure}");
}

#[test]
fn a_trap_loses_the_instance_and_names_the_function() {
    let text = consumer_text(
        "(func $divide (drop (i32.div_u (i32.const 1) (i32.const 0))))",
        "
        (call $divide) (i32.const 0)",
    );
    let module = compiled(&component("consumer-module", &text));
    let mut guest = start(&module, World::Consumer, limits()).unwrap();
    let failure = guest.failure();
    assert_eq!(failure.reason, FailureReason::Trap);
    assert_eq!(failure.detail, "trapped: integer divide by zero, in divide, called by handle");
    assert!(failure.instance_lost);
    let again = guest.failure();
    assert_eq!(again.reason, FailureReason::Trap);
    assert!(again.detail.contains("lost by an earlier failure"), "{again}");
}

#[test]
fn the_module_serves_new_instances_after_a_trap() {
    let body = "(if (i32.load (i32.const 68)) (then (unreachable)))
        (i32.store (i32.const 68) (i32.const 1)) (i32.const 0)";
    let module = compiled(&consumer(body));
    for _ in 0..100 {
        let mut guest = start(&module, World::Consumer, limits()).unwrap();
        assert_eq!(guest.handle(), Ok(Verdict::Done(vec![])));
        assert_eq!(guest.failure().reason, FailureReason::Trap);
    }
}

#[test]
fn an_err_keeps_the_instance() {
    let mut guest = guest(RETURN_ERR, limits());
    for _ in 0..3 {
        let failure = guest.failure();
        assert_eq!(failure.reason, FailureReason::Error);
        assert_eq!(failure.detail, "an error of the guest");
        assert!(!failure.instance_lost && !guest.instance.is_lost());
    }
}

#[test]
fn endless_recursion_is_a_trap() {
    let failure = guest("(call $handle (local.get $message))", limits()).failure();
    assert_eq!(failure.reason, FailureReason::Trap);
    assert!(failure.detail.contains("call stack exhausted"), "{failure}");
    assert!(failure.detail.ends_with("in handle, called by handle, called by handle"), "{failure}");
}

#[test]
fn memory_that_is_refused_is_the_reason_of_the_trap_after_it() {
    let body = "(if (i32.eq (memory.grow (i32.const 1000)) (i32.const -1)) (then (unreachable)))
        (i32.const 0)";
    let failure = guest(body, Limits { memory_bytes: 1 << 20, ..limits() }).failure();
    assert_eq!(failure.reason, FailureReason::Memory);
    assert!(
        failure.detail.starts_with("wanted 65667104 bytes of memory, its limit is 1048576"),
        "{failure}"
    );
    assert!(failure.instance_lost);
    let mut roomy = guest(body, Limits { memory_bytes: 128 << 20, ..limits() });
    assert_eq!(roomy.handle(), Ok(Verdict::Done(vec![])));
}

#[test]
fn memory_that_is_refused_is_the_reason_of_the_err_after_it() {
    let body = format!("(drop (memory.grow (i32.const 1000))) {RETURN_ERR}");
    let failure = guest(&body, Limits { memory_bytes: 1 << 20, ..limits() }).failure();
    assert_eq!(failure.reason, FailureReason::Memory);
    assert!(failure.detail.ends_with("an error of the guest"), "{failure}");
}

#[test]
fn a_guest_that_copes_with_refused_memory_is_done() {
    let body = "(drop (memory.grow (i32.const 1000))) (i32.const 0)";
    let mut guest = guest(body, Limits { memory_bytes: 1 << 20, ..limits() });
    assert_eq!(guest.handle(), Ok(Verdict::Done(vec![])));
}

#[test]
fn a_memory_that_is_too_large_from_the_start_is_refused() {
    let module = compiled(&consumer("(i32.const 0)"));
    let limits = Limits { memory_bytes: 65_536, ..limits() };
    let failure = start(&module, World::Consumer, limits).err().unwrap();
    assert_eq!(failure.reason, FailureReason::Memory);
    assert!(failure.detail.contains("wanted 131104 bytes"), "{failure}");
}

#[test]
fn tables_count_as_memory() {
    let text = consumer_text(
        "(table $t 0 funcref)",
        "(if (i32.eq (table.grow $t (ref.null func) (i32.const 1000000)) (i32.const -1))
            (then (unreachable)))
        (i32.const 0)",
    );
    let module = compiled(&component("consumer-module", &text));
    let limits = Limits { memory_bytes: 1 << 20, ..limits() };
    let failure = start(&module, World::Consumer, limits).unwrap().failure();
    assert_eq!(failure.reason, FailureReason::Memory);
}

/// `ok(done(list of COUNT outputs))`, all of them the same bytes of memory at 256: no topic, no key,
/// a value of `value_bytes`.
fn outputs(count: u32, value_bytes: u32) -> String {
    format!(
        "(i32.store8 (i32.const 280) (i32.const 1))
        (i32.store (i32.const 284) (i32.const 512))
        (i32.store (i32.const 288) (i32.const {value_bytes}))
        (drop (memory.grow (i32.const 200)))
        (local.set $n (i32.const 131072))
        (loop $again
            (memory.copy (local.get $n) (i32.const 256) (i32.const 44))
            (local.set $n (i32.add (local.get $n) (i32.const 44)))
            (br_if $again (i32.lt_u (local.get $n) (i32.const {end}))))
        (i32.store8 (i32.const 72) (i32.const 0))
        (i32.store (i32.const 80) (i32.const 131072))
        (i32.store (i32.const 84) (i32.const {count}))
        (i32.const 64)",
        end = 131_072 + 44 * count,
    )
}

#[test]
fn outputs_up_to_their_limit_are_taken() {
    let mut guest = guest(&outputs(1000, 1000), limits());
    let Ok(Verdict::Done(outputs)) = guest.handle() else { panic!("not done") };
    assert_eq!(outputs.len(), 1000);
    assert!(outputs[999].value.as_ref().unwrap().starts_with(b"an error of the guest\0"));
}

#[test]
fn outputs_beyond_their_limit_are_an_offence() {
    // 4 MiB are 4,194,304 bytes; each of these records takes 1,028.
    let failure = guest(&outputs(4081, 1000), limits()).failure();
    assert_eq!(failure.reason, FailureReason::OutputLimit);
    assert!(failure.detail.contains("its limit is 4194304"), "{failure}");
    assert!(failure.instance_lost);
    assert!(guest(&outputs(4080, 1000), limits()).handle().is_ok());
}

#[test]
fn more_outputs_than_a_batch_has_room_for_are_an_offence() {
    let failure = guest(&outputs(65_537, 1), limits()).failure();
    assert_eq!(failure.reason, FailureReason::OutputLimit);
    assert_eq!(failure.detail, "returned 65537 outputs, its limit is 65536");
    assert!(guest(&outputs(65_536, 1), limits()).handle().is_ok());
}

/// 200,000 outputs that all point at the same 100 KB would be 20 GB on the broker's side.
#[test]
fn outputs_that_share_their_bytes_do_not_grow_in_the_broker() {
    let failure = guest(&outputs(200_000, 100_000), limits()).failure();
    assert_eq!(failure.reason, FailureReason::OutputLimit);
    assert!(
        failure.detail.starts_with("handed over more than its limit of output at once"),
        "{failure}"
    );
}

#[test]
fn outputs_that_lie_outside_memory_are_a_trap() {
    let body = "(i32.store (i32.const 80) (i32.const 131000))
        (i32.store (i32.const 84) (i32.const 1000)) (i32.const 64)";
    let failure = guest(body, limits()).failure();
    assert_eq!(failure.reason, FailureReason::Trap);
    assert!(failure.instance_lost);
}

#[test]
fn a_verdict_that_does_not_exist_is_a_trap() {
    let body = "(i32.store8 (i32.const 72) (i32.const 9)) (i32.const 64)";
    assert_eq!(guest(body, limits()).failure().reason, FailureReason::Trap);
}

#[test]
fn text_that_is_not_utf8_is_a_trap() {
    let body = format!("(i32.store8 (i32.const 512) (i32.const 255)) {RETURN_ERR}");
    let failure = guest(&body, limits()).failure();
    assert_eq!(failure.reason, FailureReason::Trap);
    assert!(failure.detail.contains("utf-8"), "{failure}");
}

#[test]
fn a_flood_of_log_is_cut_off_and_says_so() {
    let body = "(loop $again
            (call $log (i32.const 2) (i32.const 512) (i32.const 21))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $n) (i32.const 100000))))
        (i32.const 0)";
    let mut guest = guest(body, Limits { deadline_ms: 30_000, ..limits() });
    for _ in 0..2 {
        assert!(guest.handle().is_ok());
        let bytes: usize = guest.log.iter().map(|line| line.1.len()).sum();
        assert!(bytes <= 65_536 + 100, "{bytes}");
        assert_eq!(guest.log[0], (LogLevel::Info, "an error of the guest".to_owned()));
        let last = guest.log.last().unwrap();
        assert_eq!(last.0, LogLevel::Warn);
        assert!(
            last.1.contains("lines were cut or dropped: a call may log 65536 bytes"),
            "{last:?}"
        );
    }
}

#[test]
fn what_was_logged_before_a_trap_is_told() {
    let body = "(call $log (i32.const 4) (i32.const 512) (i32.const 21)) (unreachable)";
    let mut guest = guest(body, limits());
    let failure = guest.failure();
    assert!(failure.detail.ends_with("it last logged: an error of the guest"), "{failure}");
    assert_eq!(guest.log, [(LogLevel::Error, "an error of the guest".to_owned())]);
}

#[test]
fn random_bytes_are_bounded() {
    let failure =
        guest("(call $random (i32.const -1) (i32.const 64)) (i32.const 0)", limits()).failure();
    assert_eq!(failure.reason, FailureReason::Trap);
    assert!(failure.detail.starts_with("asked for 4294967295 random bytes at once"), "{failure}");
}

/// A body that returns what is at 96..128 as the value of an output.
const RETURN_32_BYTES: &str = "
    (i32.store8 (i32.const 280) (i32.const 1))
    (i32.store (i32.const 284) (i32.const 96))
    (i32.store (i32.const 288) (i32.const 32))
    (i32.store (i32.const 80) (i32.const 256))
    (i32.store (i32.const 84) (i32.const 1))
    (i32.const 64)";

fn value(verdict: Verdict) -> bytes::Bytes {
    let Verdict::Done(mut outputs) = verdict else { panic!("not done: {verdict:?}") };
    outputs.remove(0).value.unwrap()
}

#[test]
fn clock_and_random_are_those_of_the_call() {
    let body = format!(
        "(call $random (i32.const 16) (i32.const 160))
        (memory.copy (i32.const 96) (i32.load (i32.const 160)) (i32.const 16))
        (i64.store (i32.const 112) (call $now))
        (i64.store (i32.const 120) (call $now))
        {RETURN_32_BYTES}"
    );
    let mut first = guest(&body, limits());
    let told = value(first.handle().unwrap());
    assert_eq!(told[16..24], 2000u64.to_le_bytes());
    assert_eq!(told[24..], told[16..24]);
    assert_ne!(told[..8], told[8..16]);
    assert_eq!(value(first.handle().unwrap()), told, "the same seed");
    assert_eq!(value(guest(&body, limits()).handle().unwrap()), told, "in another instance");
}
