//! What wit-bindgen makes of `wit/`: raw types and exports, which only `guest` sees.
//!
//! `wit/` lies at the same place beside this crate in the repository and in a project made by
//! `logmill module new`: two folders up.

/// The types and the imports. A component imports what it calls, and nothing else.
pub(crate) mod common {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "common",
        generate_unused_types: true,
    });
}

/// What only consumers import.
pub(crate) mod memory {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package logmill:sdk;

            world memory {
                import logmill:module/state@0.1.0;
                import logmill:module/idempotency@0.1.0;
            }
        ",
        world: "logmill:sdk/memory",
        with: {
            "logmill:module/types@0.1.0": crate::bindings::common::logmill::module::types,
            "logmill:module/state@0.1.0": generate,
            "logmill:module/idempotency@0.1.0": generate,
        },
    });
}

macro_rules! world {
    ($name:ident, $world:literal, $export:literal, $module:literal $(, $import:literal: $path:path)*) => {
        /// The export of this world.
        pub mod $name {
            wit_bindgen::generate!({
                path: "../../wit",
                world: $world,
                with: {
                    "logmill:module/types@0.1.0": crate::bindings::common::logmill::module::types,
                    "logmill:module/log@0.1.0": crate::bindings::common::logmill::module::log,
                    "logmill:module/clock@0.1.0": crate::bindings::common::logmill::module::clock,
                    "logmill:module/random@0.1.0": crate::bindings::common::logmill::module::random,
                    $($import: $path,)*
                },
                pub_export_macro: true,
                export_macro_name: $export,
                default_bindings_module: $module,
            });
        }
    };
}

world!(
    consumer, "consumer-module", "export_consumer", "::logmill_module::guest::consumer",
    "logmill:module/state@0.1.0": crate::bindings::memory::logmill::module::state,
    "logmill:module/idempotency@0.1.0": crate::bindings::memory::logmill::module::idempotency
);
world!(router, "router-module", "export_router", "::logmill_module::guest::router");
world!(filter, "filter-module", "export_filter", "::logmill_module::guest::filter");
