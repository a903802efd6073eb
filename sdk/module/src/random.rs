//! Random bytes that are the same again when the same attempt at the same record is run again.

/// `count` random bytes.
///
/// ```
/// use logmill_module::{random, testing::TestHost};
///
/// let first = { let _host = TestHost::new().with_seed(7); random::bytes(16) };
/// let again = { let _host = TestHost::new().with_seed(7); random::bytes(16) };
/// assert_eq!((first.len(), &first), (16, &again));
/// ```
#[must_use]
pub fn bytes(count: u32) -> Vec<u8> {
    #[cfg(target_arch = "wasm32")]
    return crate::guest::random_bytes(count);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::random_bytes(count)
}

/// A random number, all of them as likely.
#[must_use]
pub fn number() -> u64 {
    bytes(8).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
