//! logmill-engine
