//! logmill-wasm
