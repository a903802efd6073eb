//! logmill-server
