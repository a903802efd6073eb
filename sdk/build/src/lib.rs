//! logmill-build
