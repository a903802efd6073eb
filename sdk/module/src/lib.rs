//! logmill-module
