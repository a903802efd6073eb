//! The exports of a component in one world: looked up once, then instantiated many times.

use logmill_model::World;
use wasmtime::Store;
use wasmtime::component::InstancePre;

use crate::bindings::exports::logmill::module::{consumer, filter, router};
use crate::host::Host;

/// Where the functions of a world lie in a linked component.
#[derive(Clone)]
pub(crate) struct Exported {
    pre: InstancePre<Host>,
    indices: Indices,
}

#[derive(Clone)]
enum Indices {
    Consumer(consumer::GuestIndices),
    Router(router::GuestIndices),
    Filter(filter::GuestIndices),
}

/// The functions of a world in one instance.
pub(crate) enum Guest {
    Consumer(consumer::Guest),
    Router(router::Guest),
    Filter(filter::Guest),
}

impl Exported {
    /// # Errors
    /// When the component doesn't export the functions of `world`.
    pub(crate) fn find(pre: &InstancePre<Host>, world: World) -> wasmtime::Result<Self> {
        let indices = match world {
            World::Consumer => Indices::Consumer(consumer::GuestIndices::new(pre)?),
            World::Router => Indices::Router(router::GuestIndices::new(pre)?),
            World::Filter => Indices::Filter(filter::GuestIndices::new(pre)?),
        };
        Ok(Self { pre: pre.clone(), indices })
    }

    pub(crate) fn world(&self) -> World {
        match self.indices {
            Indices::Consumer(_) => World::Consumer,
            Indices::Router(_) => World::Router,
            Indices::Filter(_) => World::Filter,
        }
    }

    /// # Errors
    /// When the component's own start code fails.
    pub(crate) fn instantiate(
        &self,
        store: &mut Store<Host>,
    ) -> wasmtime::Result<wasmtime::component::Instance> {
        self.pre.instantiate(store)
    }

    /// # Errors
    /// When the types of the functions aren't those of the WIT package.
    pub(crate) fn functions(
        &self,
        store: &mut Store<Host>,
        instance: &wasmtime::component::Instance,
    ) -> wasmtime::Result<Guest> {
        Ok(match &self.indices {
            Indices::Consumer(indices) => Guest::Consumer(indices.load(store, instance)?),
            Indices::Router(indices) => Guest::Router(indices.load(store, instance)?),
            Indices::Filter(indices) => Guest::Filter(indices.load(store, instance)?),
        })
    }
}

impl Guest {
    pub(crate) fn init(
        &self,
        store: &mut Store<Host>,
        config: &[(&str, &str)],
    ) -> wasmtime::Result<Result<(), String>> {
        match self {
            Self::Consumer(guest) => guest.call_init(store, config),
            Self::Router(guest) => guest.call_init(store, config),
            Self::Filter(guest) => guest.call_init(store, config),
        }
    }
}
