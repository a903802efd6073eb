//! WASI answers without granting anything, and never holds a thread.

use std::time::{Duration, Instant};

use logmill_model::{FailureReason, LogLevel, Verdict, World};
use logmill_wasm::Limits;

use crate::compiled;
use crate::support::{Guest, encode, importing_text, limits, start, wit};

/// As much of WASI 0.2 as these guests import.
const WASI: &str = r"
package test:guest;

world guest {
    include logmill:module/consumer-module@0.1.0;
    import wasi:io/poll@0.2.3;
    import wasi:io/streams@0.2.3;
    import wasi:clocks/monotonic-clock@0.2.3;
    import wasi:clocks/wall-clock@0.2.3;
    import wasi:random/random@0.2.3;
    import wasi:cli/stdin@0.2.3;
    import wasi:cli/stdout@0.2.3;
    import wasi:cli/stderr@0.2.3;
    import wasi:cli/environment@0.2.3;
    import wasi:cli/exit@0.2.3;
    import wasi:filesystem/preopens@0.2.3;
    import wasi:sockets/tcp-create-socket@0.2.3;
    import wasi:sockets/udp-create-socket@0.2.3;
    import wasi:sockets/instance-network@0.2.3;
    import wasi:sockets/ip-name-lookup@0.2.3;
}

package wasi:io@0.2.3 {
    interface poll {
        resource pollable { ready: func() -> bool; block: func(); }
        poll: func(in: list<borrow<pollable>>) -> list<u32>;
    }
    interface error { resource error; }
    interface streams {
        use error.{error};
        variant stream-error { last-operation-failed(error), closed }
        resource input-stream { blocking-read: func(len: u64) -> result<list<u8>, stream-error>; }
        resource output-stream {
            blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
            write-zeroes: func(len: u64) -> result<_, stream-error>;
        }
    }
}

package wasi:clocks@0.2.3 {
    interface monotonic-clock {
        use wasi:io/poll@0.2.3.{pollable};
        now: func() -> u64;
        subscribe-duration: func(when: u64) -> pollable;
    }
    interface wall-clock {
        record datetime { seconds: u64, nanoseconds: u32 }
        now: func() -> datetime;
    }
}

package wasi:random@0.2.3 {
    interface random { get-random-u64: func() -> u64; get-random-bytes: func(len: u64) -> list<u8>; }
}

package wasi:cli@0.2.3 {
    interface stdin { use wasi:io/streams@0.2.3.{input-stream}; get-stdin: func() -> input-stream; }
    interface stdout { use wasi:io/streams@0.2.3.{output-stream}; get-stdout: func() -> output-stream; }
    interface stderr { use wasi:io/streams@0.2.3.{output-stream}; get-stderr: func() -> output-stream; }
    interface environment {
        get-environment: func() -> list<tuple<string, string>>;
        get-arguments: func() -> list<string>;
    }
    interface exit { exit: func(status: result); }
}

package wasi:filesystem@0.2.3 {
    interface types { resource descriptor; }
    interface preopens {
        use types.{descriptor};
        get-directories: func() -> list<tuple<descriptor, string>>;
    }
}

package wasi:sockets@0.2.3 {
    interface network {
        resource network;
        enum error-code {
            unknown, access-denied, not-supported, invalid-argument, out-of-memory, timeout,
            concurrency-conflict, not-in-progress, would-block, invalid-state, new-socket-limit,
            address-not-bindable, address-in-use, remote-unreachable, connection-refused,
            connection-reset, connection-aborted, datagram-too-large, name-unresolvable,
            temporary-resolver-failure, permanent-resolver-failure,
        }
        enum ip-address-family { ipv4, ipv6 }
    }
    interface instance-network { use network.{network}; instance-network: func() -> network; }
    interface tcp { resource tcp-socket; }
    interface udp { resource udp-socket; }
    interface tcp-create-socket {
        use network.{error-code, ip-address-family};
        use tcp.{tcp-socket};
        create-tcp-socket: func(address-family: ip-address-family) -> result<tcp-socket, error-code>;
    }
    interface udp-create-socket {
        use network.{error-code, ip-address-family};
        use udp.{udp-socket};
        create-udp-socket: func(address-family: ip-address-family) -> result<udp-socket, error-code>;
    }
    interface ip-name-lookup {
        use network.{network, error-code};
        resource resolve-address-stream;
        resolve-addresses: func(network: borrow<network>, name: string) -> result<resolve-address-stream, error-code>;
    }
}
";

const IMPORTS: &str = r#"
    (import "wasi:io/poll@0.2.3" "[method]pollable.ready" (func $ready (param i32) (result i32)))
    (import "wasi:io/poll@0.2.3" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.3" "[resource-drop]pollable" (func $drop_pollable (param i32)))
    (import "wasi:io/poll@0.2.3" "poll" (func $poll (param i32 i32 i32)))
    (import "wasi:io/streams@0.2.3" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
    (import "wasi:io/streams@0.2.3" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
    (import "wasi:io/streams@0.2.3" "[method]output-stream.write-zeroes" (func $write_zeroes (param i32 i64 i32)))
    (import "wasi:clocks/monotonic-clock@0.2.3" "now" (func $monotonic (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.3" "subscribe-duration" (func $wait (param i64) (result i32)))
    (import "wasi:clocks/wall-clock@0.2.3" "now" (func $wall (param i32)))
    (import "wasi:random/random@0.2.3" "get-random-u64" (func $random_u64 (result i64)))
    (import "wasi:random/random@0.2.3" "get-random-bytes" (func $random_bytes (param i64 i32)))
    (import "wasi:cli/stdin@0.2.3" "get-stdin" (func $stdin (result i32)))
    (import "wasi:cli/stdout@0.2.3" "get-stdout" (func $stdout (result i32)))
    (import "wasi:cli/stderr@0.2.3" "get-stderr" (func $stderr (result i32)))
    (import "wasi:cli/environment@0.2.3" "get-environment" (func $environment (param i32)))
    (import "wasi:cli/environment@0.2.3" "get-arguments" (func $arguments (param i32)))
    (import "wasi:cli/exit@0.2.3" "exit" (func $exit (param i32)))
    (import "wasi:filesystem/preopens@0.2.3" "get-directories" (func $directories (param i32)))
    (import "wasi:sockets/tcp-create-socket@0.2.3" "create-tcp-socket" (func $tcp (param i32 i32)))
    (import "wasi:sockets/udp-create-socket@0.2.3" "create-udp-socket" (func $udp (param i32 i32)))
    (import "wasi:sockets/instance-network@0.2.3" "instance-network" (func $network (result i32)))
    (import "wasi:sockets/ip-name-lookup@0.2.3" "resolve-addresses" (func $resolve (param i32 i32 i32 i32)))
"#;

/// Returns the 32 bytes at 96 as the value of an output.
const RETURN_32_BYTES: &str = "
    (i32.store8 (i32.const 280) (i32.const 1))
    (i32.store (i32.const 284) (i32.const 96))
    (i32.store (i32.const 288) (i32.const 32))
    (i32.store (i32.const 80) (i32.const 256))
    (i32.store (i32.const 84) (i32.const 1))
    (i32.const 64)";

fn guest(body: &str, limits: Limits) -> Guest {
    let (mut resolve, _) = wit();
    let package = resolve.push_str("wasi.wit", WASI).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    let bytes = encode(&resolve, world, &importing_text(IMPORTS, "", body));
    start(&compiled(&bytes), World::Consumer, limits).unwrap()
}

/// The eight-byte numbers that `body` left at 96, 104, 112 and 120.
fn numbers(body: &str) -> [u64; 4] {
    told(&mut guest(&format!("{body} {RETURN_32_BYTES}"), limits()))
}

fn told(guest: &mut Guest) -> [u64; 4] {
    let Verdict::Done(outputs) = guest.handle().unwrap() else { panic!("not done") };
    let value = outputs[0].value.as_ref().unwrap();
    let number = |at: usize| u64::from_le_bytes(value[at * 8..][..8].try_into().unwrap());
    [number(0), number(1), number(2), number(3)]
}

fn wait(ms: u64) -> String {
    format!("(call $wait (i64.const {}))", ms * 1_000_000)
}

#[test]
fn a_wait_is_over_at_once_and_time_has_passed_for_the_guest() {
    let began = Instant::now();
    let body = format!(
        "(i64.store (i32.const 96) (call $monotonic))
        (call $block {})
        (i64.store (i32.const 104) (call $monotonic))
        (call $wall (i32.const 112))",
        wait(900)
    );
    let second = 1_000_000_000;
    // The call's time is 2000 ms.
    assert_eq!(numbers(&body), [2 * second, 2 * second + 900_000_000, 2, 0]);
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
}

#[test]
fn a_wait_beyond_the_deadline_fails_at_once() {
    let began = Instant::now();
    let mut hour = guest(&format!("(call $block {}) (i32.const 0)", wait(3_600_000)), limits());
    let failure = hour.failure();
    assert_eq!(failure.reason, FailureReason::Deadline);
    assert!(
        failure.detail.starts_with("waits for 3600000 ms, its deadline is 1000 ms"),
        "{failure}"
    );
    let again = format!("(loop $again (call $block {}) (br $again)) (unreachable)", wait(300));
    let failure = guest(&again, limits()).failure();
    assert_eq!(failure.reason, FailureReason::Deadline);
    assert!(failure.detail.starts_with("waits for 1200 ms"), "{failure}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn of_several_waits_the_earliest_ends_the_poll() {
    let body = format!(
        "(i32.store (i32.const 128) {}) (i32.store (i32.const 132) {}) (i32.store (i32.const 136) {})
        (call $poll (i32.const 128) (i32.const 3) (i32.const 160))
        (i32.store (i32.const 96) (i32.load (i32.load (i32.const 160))))
        (i32.store (i32.const 104) (i32.load (i32.const 164)))
        (i64.store (i32.const 112) (call $monotonic))
        (i32.store (i32.const 120) (call $ready (i32.load (i32.const 128))))",
        wait(800),
        wait(200),
        wait(999_999)
    );
    assert_eq!(numbers(&body), [1, 1, 2_200_000_000, 0]);
}

#[test]
fn clocks_begin_again_with_each_call() {
    let body = format!("(call $block {}) (i64.store (i32.const 96) (call $monotonic))", wait(500));
    let mut guest = guest(&format!("{body} {RETURN_32_BYTES}"), limits());
    for _ in 0..3 {
        assert_eq!(told(&mut guest)[0], 2_500_000_000);
    }
}

#[test]
fn random_numbers_are_those_of_the_call() {
    let body = "(i64.store (i32.const 96) (call $random_u64))
        (i64.store (i32.const 104) (call $random_u64))
        (call $random_bytes (i64.const 8) (i32.const 160))
        (i64.store (i32.const 112) (i64.load (i32.load (i32.const 160))))";
    let first = numbers(body);
    assert_eq!(numbers(body), first);
    assert!(first[0] != first[1] && first[1] != first[2], "{first:?}");
    let failure =
        guest("(call $random_bytes (i64.const -1) (i32.const 160)) (i32.const 0)", limits())
            .failure();
    assert_eq!(failure.reason, FailureReason::Trap);
    assert!(failure.detail.contains("random bytes at once"), "{failure}");
}

#[test]
fn what_is_printed_is_logged_in_order() {
    let body = "(i32.store (i32.const 128) (call $stdout))
        (i32.store (i32.const 132) (call $stderr))
        (call $write (i32.load (i32.const 128)) (i32.const 512) (i32.const 8) (i32.const 160))
        (i32.store8 (i32.const 533) (i32.const 10))
        (call $write (i32.load (i32.const 132)) (i32.const 512) (i32.const 22) (i32.const 160))
        (call $log (i32.const 1) (i32.const 512) (i32.const 2))
        (call $write (i32.load (i32.const 128)) (i32.const 520) (i32.const 14) (i32.const 160))
        (call $write (i32.load (i32.const 128)) (i32.const 512) (i32.const 2) (i32.const 160))
        (i32.const 0)";
    let mut guest = guest(body, limits());
    guest.handle().unwrap();
    let expected = [
        (LogLevel::Warn, "an error of the guest"),
        (LogLevel::Debug, "an"),
        (LogLevel::Info, "an error of the guest"),
        (LogLevel::Info, "an"),
    ];
    assert_eq!(guest.log, expected.map(|(level, text)| (level, text.to_owned())));
}

#[test]
fn printing_is_bounded() {
    let flood = "(i32.store (i32.const 128) (call $stdout))
        (loop $again
            (call $write (i32.load (i32.const 128)) (i32.const 1024) (i32.const 4096) (i32.const 160))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $n) (i32.const 1000))))
        (i32.const 0)";
    let mut guest_that_floods = guest(flood, Limits { deadline_ms: 30_000, ..limits() });
    guest_that_floods.handle().unwrap();
    let bytes: usize = guest_that_floods.log.iter().map(|line| line.1.len()).sum();
    assert!(bytes <= 65_536 + 100, "{bytes}");
    let zeroes = "(call $write_zeroes (call $stdout) (i64.const 1000000000000) (i32.const 160)) (i32.const 0)";
    assert_eq!(guest(zeroes, limits()).failure().reason, FailureReason::Trap);
}

#[test]
fn standard_input_is_at_its_end() {
    // `err(closed)` is 1 at 160 and 1 at 164.
    let body = "(call $read (call $stdin) (i64.const 100) (i32.const 160))
        (i32.store (i32.const 96) (i32.load8_u (i32.const 160)))
        (i32.store (i32.const 104) (i32.load8_u (i32.const 164)))";
    assert_eq!(numbers(body), [1, 1, 0, 0]);
}

#[test]
fn there_are_no_files_arguments_or_variables() {
    let body = "(call $environment (i32.const 160)) (call $arguments (i32.const 168))
        (call $directories (i32.const 176))
        (i32.store (i32.const 96) (i32.load (i32.const 164)))
        (i32.store (i32.const 104) (i32.load (i32.const 172)))
        (i32.store (i32.const 112) (i32.load (i32.const 180)))";
    assert_eq!(numbers(body), [0, 0, 0, 0]);
}

#[test]
fn there_is_no_network() {
    // Each answers `err`: 1 at its address, and the code four bytes on.
    let body = "(call $tcp (i32.const 0) (i32.const 160))
        (call $udp (i32.const 1) (i32.const 168))
        (call $resolve (call $network) (i32.const 512) (i32.const 2) (i32.const 176))
        (i64.store (i32.const 96) (i64.and (i64.load (i32.const 160)) (i64.const 0xff000000ff)))
        (i64.store (i32.const 104) (i64.and (i64.load (i32.const 168)) (i64.const 0xff000000ff)))
        (i64.store (i32.const 112) (i64.and (i64.load (i32.const 176)) (i64.const 0xff000000ff)))";
    let [tcp, udp, resolve, _] = numbers(body);
    for (answer, codes) in [(tcp, [1, 2]), (udp, [1, 2]), (resolve, [18, 20])] {
        assert_eq!(answer & 0xff, 1, "{answer:x}");
        assert!(codes.contains(&(answer >> 32)), "{answer:x}");
    }
}

#[test]
fn exit_ends_the_instance_and_not_the_broker() {
    let failure = guest("(call $exit (i32.const 1)) (i32.const 0)", limits()).failure();
    assert_eq!(failure.reason, FailureReason::Trap);
    assert!(failure.detail.starts_with("called exit with status 1"), "{failure}");
    assert!(failure.instance_lost);
}

#[test]
fn handles_run_out() {
    let body = format!("(loop $again (drop {}) (br $again)) (unreachable)", wait(1));
    let failure = guest(&body, Limits { deadline_ms: 30_000, ..limits() }).failure();
    assert_eq!(failure.reason, FailureReason::Trap);
    assert!(failure.instance_lost);
}
