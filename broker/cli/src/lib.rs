//! logmill-cli
