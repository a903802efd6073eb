//! A component, compiled and linked.

use std::fmt;
use std::sync::Arc;

use logmill_model::{FailureReason, ModuleDigest, World};

use crate::check::Exports;
use crate::guest::Exported;
use crate::runtime::Shared;
use crate::{CallContext, Failure, Instance, Limits};

/// A component that was checked, compiled and linked. Clones share the code.
#[derive(Clone)]
pub struct Module {
    code: Arc<Code>,
    shared: Arc<Shared>,
}

/// What clones of a module share.
pub(crate) struct Code {
    pub digest: ModuleDigest,
    pub exports: Exports,
    pub bytes: u64,
    pub compile_ms: u64,
    /// One for each world of `exports`.
    pub exported: Vec<Exported>,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("digest", &self.code.digest)
            .field("worlds", &self.code.exports.worlds)
            .finish_non_exhaustive()
    }
}

impl Module {
    pub(crate) fn new(code: Code, shared: Arc<Shared>) -> Self {
        Self { code: Arc::new(code), shared }
    }

    /// The SHA-256 of its bytes.
    #[must_use]
    pub fn digest(&self) -> ModuleDigest {
        self.code.digest
    }

    /// What it can be used as.
    #[must_use]
    pub fn worlds(&self) -> &[World] {
        &self.code.exports.worlds
    }

    /// The interfaces it imports.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.code.exports.imports
    }

    /// The component's size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.code.bytes
    }

    /// How long it took to compile; 0 when the code was cached.
    #[must_use]
    pub fn compile_ms(&self) -> u64 {
        self.code.compile_ms
    }

    /// Makes an instance and runs its `init`, together within
    /// [`Limits::init_deadline_ms`].
    ///
    /// # Errors
    /// When the module doesn't export `world`, breaks a limit, traps, or `init` returns an error.
    /// Always with `instance_lost`.
    pub fn instantiate(
        &self,
        world: World,
        limits: Limits,
        config: &[(String, String)],
        call: CallContext<'_>,
    ) -> Result<Instance, Failure> {
        let exported = self.code.exported.iter().find(|exported| exported.world() == world);
        let Some(exported) = exported else {
            let known: Vec<_> = self.worlds().iter().map(|world| world.as_str()).collect();
            let detail =
                format!("the module is no {world}; it can be used as {}", known.join(", "));
            return Err(Failure::lost(FailureReason::Trap, detail));
        };
        Instance::start(&self.shared, exported, limits, config, call)
    }
}
