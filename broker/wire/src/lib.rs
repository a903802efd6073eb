//! logmill-wire
