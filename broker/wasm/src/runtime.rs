//! The engine that compiles and runs modules.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Engine};

use crate::bindings::logmill::module as imports;
use crate::cache::Cache;
use crate::compile::Compiler;
use crate::host::Host;
use crate::ticker::Ticker;
use crate::{Error, Module, wasi};

/// Most stack that a guest may use, in bytes. CPython's recursion limit is reached in less.
const STACK_BYTES_MAX: usize = 512 << 10;

/// How the runtime is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where compiled code is kept; None compiles each time. The folder is the broker's own.
    pub cache: Option<PathBuf>,
    /// How large the folder may become, in bytes; the files that were used longest ago go first.
    pub cache_bytes_max: u64,
    /// Whether modules are compiled in a process of their own, with limits on memory and time, so
    /// that none can take this one down. The program must call [`crate::compile_if_asked`] first
    /// thing in `main`.
    pub compile_apart: bool,
}

impl Default for Settings {
    /// No cache folder, 1 GiB, compiled in this process.
    fn default() -> Self {
        Self { cache: None, cache_bytes_max: 1 << 30, compile_apart: false }
    }
}

/// Compiles modules and runs their instances. Clones share everything.
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
}

/// What the runtime, its modules and their instances share.
pub(crate) struct Shared {
    pub engine: Engine,
    pub ticker: Ticker,
    pub compiler: Compiler,
    /// The imports of our own package, for guests that need no more.
    pub plain: Linker<Host>,
    /// The same and WASI.
    pub with_wasi: Linker<Host>,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("compiler", &self.shared.compiler).finish_non_exhaustive()
    }
}

impl Runtime {
    /// A runtime of these settings.
    ///
    /// # Errors
    /// When the machine can't run WebAssembly, or the cache folder can't be made.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let broken = |error: wasmtime::Error| Error::Runtime(format!("{error:#}"));
        let engine = engine(Compiling::OnOneThread).map_err(broken)?;
        let ticker = Ticker::start(engine.weak())
            .map_err(|error| Error::Runtime(format!("its thread can't be started: {error}")))?;
        let plain = plain_linker(&engine).map_err(broken)?;
        let mut with_wasi = plain.clone();
        wasi::add_to_linker(&mut with_wasi).map_err(broken)?;
        let cache = match settings.cache {
            Some(folder) => Some(Cache::open(folder, settings.cache_bytes_max, &engine)?),
            None => None,
        };
        let compiler = Compiler::new(cache, settings.compile_apart);
        Ok(Self { shared: Arc::new(Shared { engine, ticker, compiler, plain, with_wasi }) })
    }

    /// Checks and compiles a component, or takes its code from the cache. Takes seconds for large
    /// ones: not for a thread that others wait for. One is compiled at a time and at low priority, so
    /// that what runs is not disturbed.
    ///
    /// # Errors
    /// See [`crate::check`].
    pub fn compile(&self, bytes: &[u8]) -> Result<Module, Error> {
        let code = self.shared.compiler.compile(&self.shared, bytes)?;
        Ok(Module::new(code, Arc::clone(&self.shared)))
    }
}

/// How much of the machine a compiler may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compiling {
    /// One core, since the guests that run need the others.
    OnOneThread,
    /// All, in a process of low priority.
    OnAllThreads,
}

/// The engine, with the same settings in each process, so that all understand each other's code.
pub(crate) fn engine(compiling: Compiling) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.epoch_interruption(true);
    config.max_wasm_stack(STACK_BYTES_MAX);
    // The same digest must decide the same on every machine.
    config.cranelift_nan_canonicalization(true);
    config.relaxed_simd_deterministic(true);
    config.parallel_compilation(compiling == Compiling::OnAllThreads);
    Engine::new(&config)
}

fn plain_linker(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    imports::types::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    imports::log::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    imports::clock::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    imports::random::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    imports::state::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    imports::idempotency::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    Ok(linker)
}
