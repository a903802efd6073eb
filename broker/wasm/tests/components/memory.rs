//! State and claims: what a consumer asks for reaches the memory of its call, within limits.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use logmill_model::{FailureReason, Offset, RetryRequest, Source, Verdict, World};
use logmill_wasm::{Called, Claim, Memory, MemoryFull};

use crate::compiled;
use crate::support::{Guest, component, consumer, importing_text, limits, start};

const IMPORTS: &str = r#"
    (import "logmill:module/state@0.1.0" "get" (func $get (param i32 i32 i32)))
    (import "logmill:module/state@0.1.0" "set" (func $set (param i32 i32 i32 i32)))
    (import "logmill:module/state@0.1.0" "delete" (func $delete (param i32 i32)))
    (import "logmill:module/idempotency@0.1.0" "claim-key" (func $claim (param i32 i32 i32)))"#;
const DATA: &str = r#"(data (i32.const 600) "key") (data (i32.const 610) "value")"#;
/// Returns `drop` with the text whose address and length lie at 100.
const DROP_TEXT: &str = "
    (i32.store8 (i32.const 72) (i32.const 3))
    (i32.store (i32.const 80) (i32.load (i32.const 100)))
    (i32.store (i32.const 84) (i32.load (i32.const 104)))
    (i32.const 64)";

fn guest(body: &str) -> Guest {
    let bytes = component("consumer-module", &importing_text(IMPORTS, DATA, body));
    start(&compiled(&bytes), World::Consumer, limits()).unwrap()
}

/// Answers as it is told and writes down what it was asked.
struct Fake {
    value: Option<&'static str>,
    claim: Claim,
    is_full: bool,
    asked: Vec<String>,
}

impl Fake {
    fn new() -> Self {
        Self { value: None, claim: Claim::First, is_full: false, asked: Vec::new() }
    }

    fn ask<T>(&mut self, asked: String, answer: T) -> Result<T, MemoryFull> {
        self.asked.push(asked);
        if self.is_full { Err(MemoryFull { what: "state", bytes_max: 7 }) } else { Ok(answer) }
    }
}

impl Memory for Fake {
    fn get(&mut self, key: &str) -> Option<Bytes> {
        self.asked.push(format!("get {key}"));
        self.value.map(Bytes::from)
    }

    fn set(&mut self, key: &str, value: Bytes) -> Result<(), MemoryFull> {
        self.ask(format!("set {key} {}", String::from_utf8_lossy(&value)), ())
    }

    fn delete(&mut self, key: &str) -> Result<(), MemoryFull> {
        self.ask(format!("delete {key}"), ())
    }

    fn claim(&mut self, key: &str) -> Result<Claim, MemoryFull> {
        let claim = self.claim.clone();
        self.ask(format!("claim {key}"), claim)
    }
}

fn dropped(text: &str) -> Called {
    Called::Verdict(Verdict::Drop(text.to_owned()))
}

#[test]
fn what_a_consumer_remembers_is_asked_of_the_memory_of_its_call() {
    let mut guest = guest(&format!(
        "(call $set (i32.const 600) (i32.const 3) (i32.const 610) (i32.const 5))
         (call $delete (i32.const 601) (i32.const 2))
         (call $get (i32.const 600) (i32.const 3) (i32.const 96))
         {DROP_TEXT}"
    ));
    let fake = Arc::new(Mutex::new(Fake { value: Some("from before"), ..Fake::new() }));
    assert_eq!(guest.call(Some(fake.clone())), Ok(dropped("from before")));
    assert_eq!(fake.lock().unwrap().asked, ["set key value", "delete ey", "get key"]);
    // The call is over: nothing of it is held on to.
    assert_eq!(Arc::strong_count(&fake), 1);
}

#[test]
fn a_call_without_a_memory_finds_nothing_and_claims_everything() {
    let mut guest = guest(
        "(call $set (i32.const 600) (i32.const 3) (i32.const 610) (i32.const 5))
         (call $delete (i32.const 600) (i32.const 3))
         (call $get (i32.const 600) (i32.const 3) (i32.const 96))
         (if (i32.load8_u (i32.const 96)) (then unreachable))
         (call $claim (i32.const 600) (i32.const 3) (i32.const 96))
         (if (i32.load8_u (i32.const 96)) (then unreachable))
         (i32.const 0)",
    );
    assert_eq!(guest.handle(), Ok(Verdict::Done(vec![])));
}

#[test]
fn a_claim_says_whose_the_key_is() {
    // The topic of the position, when it is partition 4 and offset 5.
    let mut guest = guest(&format!(
        "(call $claim (i32.const 600) (i32.const 3) (i32.const 128))
         (if (i32.eqz (i32.load8_u (i32.const 128))) (then (return (i32.const 0))))
         (if (i32.ne (i32.load (i32.const 144)) (i32.const 4)) (then unreachable))
         (if (i64.ne (i64.load (i32.const 152)) (i64.const 5)) (then unreachable))
         (i64.store (i32.const 100) (i64.load (i32.const 136)))
         {DROP_TEXT}"
    ));
    let fake = Arc::new(Mutex::new(Fake::new()));
    assert_eq!(guest.call(Some(fake.clone())), Ok(Called::Verdict(Verdict::Done(vec![]))));
    let source = Source { topic: "payments".to_owned(), partition: 4, offset: Offset(5) };
    fake.lock().unwrap().claim = Claim::Seen(source);
    assert_eq!(guest.call(Some(fake.clone())), Ok(dropped("payments")));
    assert_eq!(fake.lock().unwrap().asked, ["claim key", "claim key"]);
}

#[test]
fn a_claim_that_is_anothers_ends_the_call_and_is_no_failure() {
    let mut guest =
        guest("(call $claim (i32.const 600) (i32.const 3) (i32.const 96)) (i32.const 0)");
    let fake = Arc::new(Mutex::new(Fake { claim: Claim::Busy, ..Fake::new() }));
    assert_eq!(guest.call(Some(fake)), Ok(Called::Busy));
    assert!(guest.instance.is_lost(), "it was left in the middle of its code");
}

#[test]
fn a_memory_that_is_full_fails_the_attempt() {
    for body in [
        "(call $set (i32.const 600) (i32.const 3) (i32.const 610) (i32.const 5)) (i32.const 0)",
        "(call $delete (i32.const 600) (i32.const 3)) (i32.const 0)",
        "(call $claim (i32.const 600) (i32.const 3) (i32.const 96)) (i32.const 0)",
    ] {
        let fake = Arc::new(Mutex::new(Fake { is_full: true, ..Fake::new() }));
        let failure = guest(body).call(Some(fake)).unwrap_err();
        assert_eq!(failure.reason, FailureReason::StateLimit, "{failure}");
        assert!(failure.detail.contains("limit of 7 bytes of state"), "{failure}");
    }
}

#[test]
fn keys_and_values_have_limits() {
    let grow = "(drop (memory.grow (i32.const 20)))";
    for (call, reason) in [
        ("(call $get (i32.const 600) (i32.const 1025) (i32.const 96))", FailureReason::StateLimit),
        ("(call $delete (i32.const 600) (i32.const 1025))", FailureReason::StateLimit),
        (
            "(call $set (i32.const 600) (i32.const 1025) (i32.const 610) (i32.const 5))",
            FailureReason::StateLimit,
        ),
        (
            "(call $set (i32.const 600) (i32.const 3) (i32.const 1000) (i32.const 1048577))",
            FailureReason::StateLimit,
        ),
        (
            "(call $claim (i32.const 600) (i32.const 1025) (i32.const 96))",
            FailureReason::InvalidOutput,
        ),
    ] {
        let fake = Arc::new(Mutex::new(Fake::new()));
        let mut guest = guest(&format!("{grow} {call} (i32.const 0)"));
        let failure = guest.call(Some(fake.clone())).unwrap_err();
        assert_eq!(failure.reason, reason, "{failure}");
        assert_eq!(fake.lock().unwrap().asked, Vec::<String>::new());
    }
    // What is just within them is taken.
    let fake = Arc::new(Mutex::new(Fake::new()));
    let mut guest = guest(&format!(
        "{grow} (call $set (i32.const 600) (i32.const 1024) (i32.const 2000) (i32.const 1048576))
         (call $claim (i32.const 600) (i32.const 1024) (i32.const 96)) (i32.const 0)"
    ));
    assert_eq!(guest.call(Some(fake.clone())), Ok(Called::Verdict(Verdict::Done(vec![]))));
    assert_eq!(fake.lock().unwrap().asked.len(), 2);
}

#[test]
fn how_long_a_module_asks_to_wait_is_told_as_it_says() {
    let body = "
        (i32.store8 (i32.const 72) (i32.const 1))
        (i32.store8 (i32.const 80) (i32.const 1))
        (i64.store (i32.const 88) (i64.const 604800001))
        (i32.const 64)";
    let mut guest = start(&compiled(&consumer(body)), World::Consumer, limits()).unwrap();
    let request = RetryRequest { after_ms: Some(604_800_001), reason: String::new() };
    assert_eq!(guest.handle(), Ok(Verdict::Retry(request)));
}
