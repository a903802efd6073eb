//! The seam between lanes and guests: in the product a Wasm instance, in tests a fake that can
//! stall and fail.

use std::sync::Arc;

use logmill_model::{LogLevel, Message, ModuleLimits, Timestamp, World};
use logmill_wasm::{CallContext, Called, Failure, Instance, Limits, Module};

use crate::module_log::ModuleLog;

/// One instance of a consumer.
pub(crate) trait Handler: Send {
    /// Handles one record.
    fn handle(&mut self, message: &Message, call: CallContext<'_>) -> Result<Called, Failure>;
}

/// Makes instances of a consumer.
pub(crate) trait Handlers: Send + Sync {
    /// A fresh instance, initialised.
    fn instantiate(&self, call: CallContext<'_>) -> Result<Box<dyn Handler>, Failure>;
}

impl Handler for Instance {
    fn handle(&mut self, message: &Message, call: CallContext<'_>) -> Result<Called, Failure> {
        Self::handle(self, message, call)
    }
}

/// A module as one version of a deployment uses it.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) module: Module,
    pub(crate) world: World,
    pub(crate) limits: ModuleLimits,
    pub(crate) config: Arc<[(String, String)]>,
    pub(crate) log: Arc<ModuleLog>,
}

impl Guest {
    /// A fresh instance, initialised.
    pub(crate) fn instance(&self, call: CallContext<'_>) -> Result<Instance, Failure> {
        self.module.instantiate(self.world, Limits::from(self.limits), &self.config, call)
    }

    /// A fresh instance that writes to the deployment's log while it is initialised.
    pub(crate) fn logged_instance(&self, now: Timestamp) -> Result<Instance, Failure> {
        let mut log = |level: LogLevel, text: &str| self.log.write(now, level, None, text);
        self.instance(CallContext { now, seed: 0, log: &mut log, memory: None })
    }
}

impl Handlers for Guest {
    fn instantiate(&self, call: CallContext<'_>) -> Result<Box<dyn Handler>, Failure> {
        Ok(Box::new(self.instance(call)?))
    }
}
