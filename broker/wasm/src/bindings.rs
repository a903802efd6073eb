//! What wasmtime generates from the WIT package, and nothing else.
//!
//! One host world includes the three worlds that a module may be built for, so that they share
//! their types; a component exports one interface of it or more.

wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package logmill:host;

        world host {
            include logmill:module/consumer-module@0.1.0;
            include logmill:module/router-module@0.1.0;
            include logmill:module/filter-module@0.1.0;
        }
    ",
    world: "logmill:host/host",
    imports: { default: trappable },
    ownership: Borrowing { duplicate_if_necessary: true },
});
