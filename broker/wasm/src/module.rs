//! A component, compiled and linked.

use logmill_model::{ModuleDigest, World};

use crate::{CallContext, Failure, Instance, Limits};

/// A component that was checked, compiled and linked. Clones share the code.
#[derive(Debug, Clone)]
pub struct Module {
    digest: ModuleDigest,
    worlds: Vec<World>,
    imports: Vec<String>,
    bytes: u64,
    compile_ms: u64,
}

impl Module {
    /// The SHA-256 of its bytes.
    #[must_use]
    pub fn digest(&self) -> ModuleDigest {
        self.digest
    }

    /// What it can be used as.
    #[must_use]
    pub fn worlds(&self) -> &[World] {
        &self.worlds
    }

    /// The interfaces it imports.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// The component's size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How long it took to compile; 0 when the code was cached.
    #[must_use]
    pub fn compile_ms(&self) -> u64 {
        self.compile_ms
    }

    /// Makes an instance and runs its `init`, which may use
    /// [`Limits::INIT_DEADLINE_MS`].
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
        let _ = (limits, config, call);
        Err(Failure {
            reason: logmill_model::FailureReason::Trap,
            detail: format!("no {world} yet"),
            instance_lost: true,
        })
    }
}
