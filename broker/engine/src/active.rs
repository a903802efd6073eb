//! A version of a deployment that is compiled and at work.

use std::sync::{Mutex, PoisonError};

use logmill_model::internal::VersionRecord;
use logmill_model::{Timestamp, Unrouted};
use logmill_wasm::{Failure, Instance};

use crate::handler::Guest;
use crate::limits::ROUTER_INSTANCES_MAX;
use crate::outputs::Grants;

/// One version at work. Whoever uses it keeps all of it: settings and instances of two versions
/// never mix.
pub(crate) struct Active {
    pub(crate) guest: Guest,
    pub(crate) grants: Grants,
    pub(crate) unrouted: Unrouted,
    /// Idle instances of a router.
    idle: Mutex<Vec<Instance>>,
}

impl Active {
    pub(crate) fn new(guest: Guest, version: &VersionRecord) -> Self {
        Self {
            guest,
            grants: Grants::new(&version.settings.out),
            unrouted: version.settings.unrouted,
            idle: Mutex::default(),
        }
    }

    /// An idle instance, or a fresh one.
    pub(crate) fn take_instance(&self, now: Timestamp) -> Result<Instance, Failure> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.guest.logged_instance(now), Ok)
    }

    /// Gives an instance back for the next batch.
    pub(crate) fn put_instance(&self, instance: Instance) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < ROUTER_INSTANCES_MAX {
            idle.push(instance);
        }
    }
}
