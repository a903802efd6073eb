//! The time of the call.

/// Milliseconds since the Unix epoch. It stands still while a record is handled, so that a module
/// decides the same when the same attempt is run again.
///
/// ```
/// use logmill_module::{clock, testing::TestHost};
///
/// let _host = TestHost::new().at_ms(1_700_000_000_000);
/// assert_eq!(clock::now_ms(), 1_700_000_000_000);
/// ```
#[must_use]
pub fn now_ms() -> u64 {
    #[cfg(target_arch = "wasm32")]
    return crate::guest::now_ms();
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::now_ms()
}
