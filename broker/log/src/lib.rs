//! logmill-log
