//! A module that takes the compiler too long, or too much memory, costs a process and not the
//! broker. This program is started again as that process, so it runs its tests itself.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "components/support.rs"]
mod support;

use std::process::ExitCode;
use std::time::Instant;

use logmill_model::World;
use logmill_wasm::{Error, Runtime, Settings, compile_if_asked};
use support::{component, consumer, consumer_text, limits, start};

fn main() -> ExitCode {
    if let Some(code) = compile_if_asked(std::env::args_os()) {
        return code;
    }
    let runtime = Runtime::new(Settings { compile_apart: true, ..Settings::default() }).unwrap();
    test("a_module_compiled_apart_runs", || a_module_compiled_apart_runs(&runtime));
    test("what_the_compiler_refuses_is_invalid", || what_the_compiler_refuses_is_invalid(&runtime));
    test("a_compile_bomb_is_refused", || a_compile_bomb_is_refused(&runtime));
    ExitCode::SUCCESS
}

fn test(name: &str, test: impl FnOnce()) {
    let began = Instant::now();
    test();
    eprintln!("test {name} ... ok in {:?}", began.elapsed());
}

fn a_module_compiled_apart_runs(runtime: &Runtime) {
    let module = runtime.compile(&consumer("(i32.const 0)")).unwrap();
    assert_ne!(module.compile_ms(), 0);
    assert!(start(&module, World::Consumer, limits()).unwrap().handle().is_ok());
}

fn what_the_compiler_refuses_is_invalid(runtime: &Runtime) {
    let mut bytes = consumer("(i32.add (i32.const 0) (i32.const 1))");
    // `i32.add` becomes `i64.add`, whose operands are others.
    let add = [0x41, 0, 0x41, 1, 0x6a];
    let at = bytes.windows(add.len()).position(|window| window == add).unwrap();
    bytes[at + 4] = 0x7c;
    let error = runtime.compile(&bytes).unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    assert!(error.to_string().contains("type mismatch"), "{error}");
}

/// Ten thousand variables, all of them alive through forty thousand branches: in half a megabyte.
fn a_compile_bomb_is_refused(runtime: &Runtime) {
    let variables = 10_000;
    let branch = |n: usize| {
        let (to, from) = (n % variables, n * 7 % variables);
        format!(
            "(if (local.get $p) (then (local.set $v{to} (i64.add (local.get $v{from}) (i64.const 1)))))"
        )
    };
    let locals: String = (0..variables).map(|n| format!("(local $v{n} i64)")).collect();
    let branches: String = (0..40_000).map(branch).collect();
    let function = format!("(func $bomb (param $p i32) {locals} {branches})");
    let bytes = component("consumer-module", &consumer_text(&function, "(i32.const 0)"));
    let error = runtime.compile(&bytes).unwrap_err();
    assert!(matches!(error, Error::TooComplex { .. }), "{error}");
    assert!(runtime.compile(&consumer("(i32.const 0)")).is_ok(), "the next one compiles");
}
