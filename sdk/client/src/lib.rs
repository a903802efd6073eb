//! logmill-client
