//! Turns the bytes of a component into code that can be instantiated.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use logmill_model::{ModuleDigest, Timestamp};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::Cache;
use crate::check::{Exports, check_surface};
use crate::compiler_process::compile_apart;
use crate::deserialize::Serialized;
use crate::granted::Interface;
use crate::guest::Exported;
use crate::instance::{new_store, run};
use crate::module::Code;
use crate::runtime::Shared;
use crate::{CallContext, Error, Limits, deserialize};

/// How much less than others the compiler's thread asks for a core.
pub(crate) const NICENESS: i32 = 10;
/// The stack of the compiler's thread: it recurses over nested types and blocks.
const STACK_BYTES: usize = 16 << 20;
/// The limits of the one instance that is made to see whether the types of the exports fit.
const TRIAL_LIMITS: Limits = Limits {
    memory_bytes: 256 << 20,
    deadline_ms: 1000,
    init_deadline_ms: 1000,
    output_bytes: Limits::OUTPUT_BYTES,
    log_bytes: 0,
};

/// Compiles one component at a time, so that the memory that this takes is bounded.
#[derive(Debug)]
pub(crate) struct Compiler {
    cache: Option<Cache>,
    is_apart: bool,
    busy: Mutex<()>,
}

impl Compiler {
    pub(crate) fn new(cache: Option<Cache>, is_apart: bool) -> Self {
        Self { cache, is_apart, busy: Mutex::new(()) }
    }

    pub(crate) fn compile(&self, shared: &Shared, bytes: &[u8]) -> Result<Code, Error> {
        let exports = check_surface(bytes)?;
        let digest = ModuleDigest(Sha256::digest(bytes).into());
        let began = Instant::now();
        let (component, compile_ms) = match self.cached(&shared.engine, digest) {
            Some(component) => (component, 0),
            None => {
                let component = self.compile_anew(&shared.engine, digest, bytes)?;
                let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                (component, ms.max(1))
            }
        };
        let exported = link(shared, &component, &exports)?;
        Ok(Code { digest, exports, bytes: bytes.len() as u64, compile_ms, exported })
    }

    fn cached(&self, engine: &Engine, digest: ModuleDigest) -> Option<Component> {
        let code = self.cache.as_ref()?.load(digest)?;
        deserialize::component(engine, &code)
            .inspect_err(|error| tracing::warn!(%digest, "cached code can't be used: {error:#}"))
            .ok()
    }

    fn compile_anew(
        &self,
        engine: &Engine,
        digest: ModuleDigest,
        bytes: &[u8],
    ) -> Result<Component, Error> {
        let _one_at_a_time = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let code = if self.is_apart { compile_apart(bytes)? } else { precompile(engine, bytes)? };
        if let Some(cache) = &self.cache {
            cache.store(digest, &code);
        }
        deserialize::component(engine, &Serialized::by_compiler(code))
            .map_err(|error| Error::Runtime(format!("compiled code can't be used: {error:#}")))
    }
}

/// The code of a component, compiled by a thread of low priority with room for recursion. A panic in
/// the compiler is that component's fault and nobody else's.
pub(crate) fn precompile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let compiled = thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("wasm-compile".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || {
                if let Err(error) = lower_priority() {
                    tracing::debug!("the compiler keeps its priority: {error}");
                }
                engine.precompile_component(bytes)
            })
            .map_err(|error| Error::Runtime(format!("no thread to compile on: {error}")))?;
        thread.join().map_err(|_| Error::Invalid("the compiler panicked on it".to_owned()))
    })?;
    compiled.map_err(|error| Error::Invalid(format!("{error:#}")))
}

/// On Linux a thread has a niceness of its own.
fn lower_priority() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::nice(NICENESS)?;
    Ok(())
}

/// Links the component's imports and finds its exports.
fn link(shared: &Shared, component: &Component, exports: &Exports) -> Result<Vec<Exported>, Error> {
    let mismatch = |error: wasmtime::Error| Error::Mismatch(format!("{error:#}"));
    let imports_wasi = exports
        .imports
        .iter()
        .any(|import| Interface::parse(import).is_some_and(Interface::is_wasi));
    let linker = if imports_wasi { &shared.with_wasi } else { &shared.plain };
    let pre = linker.instantiate_pre(component).map_err(mismatch)?;
    let exported = exports
        .worlds
        .iter()
        .map(|world| Exported::find(&pre, *world))
        .collect::<wasmtime::Result<Vec<_>>>()
        .map_err(mismatch)?;
    check_types(shared, &exported).map_err(mismatch)?;
    Ok(exported)
}

/// Makes an instance to see whether the types of the exports fit, which wasmtime only says of
/// instances. When none can be made, that is for whoever needs one to find out.
fn check_types(shared: &Shared, exported: &[Exported]) -> wasmtime::Result<()> {
    let Some(first) = exported.first() else { return Ok(()) };
    let mut store = new_store(shared, &TRIAL_LIMITS);
    let call = CallContext { now: Timestamp::ZERO, seed: 0, log: &mut |_, _| {}, memory: None };
    let instance = run(shared, &mut store, TRIAL_LIMITS.init_deadline_ms, call, |store| {
        first.instantiate(store).map(Ok)
    });
    let Ok(instance) = instance else { return Ok(()) };
    exported.iter().try_for_each(|one| one.functions(&mut store, &instance).map(drop))
}
