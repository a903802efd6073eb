//! The crate from outside, with components written by hand.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod cache;
mod check;
mod limits;
mod memory;
mod support;
mod wasi;

use std::sync::OnceLock;

use logmill_model::World;
use logmill_wasm::{Failure, Limits, Module, Runtime, Settings};
use support::{Guest, consumer, start};

/// The runtime of tests that need none of their own.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new(Settings::default()).unwrap())
}

fn compiled(bytes: &[u8]) -> Module {
    runtime().compile(bytes).unwrap()
}

/// What the body of a consumer returns to say `err("an error of the guest")`.
const RETURN_ERR: &str = "
    (i32.store8 (i32.const 64) (i32.const 1))
    (i32.store (i32.const 72) (i32.const 512))
    (i32.store (i32.const 76) (i32.const 21))
    (i32.const 64)";

/// A guest around a consumer's body.
fn guest(body: &str, limits: Limits) -> Guest {
    start(&compiled(&consumer(body)), World::Consumer, limits).unwrap()
}

impl Guest {
    /// How `handle` fails.
    fn failure(&mut self) -> Failure {
        self.handle().expect_err("it should have failed")
    }
}
