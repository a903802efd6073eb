//! logmill-tests
