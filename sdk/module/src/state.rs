//! What a consumer remembers from record to record: keys and values, for each partition of its topics.
//!
//! What a call changes counts when its verdict is [`done`](crate::Verdict::done), in the same durable
//! step as its outputs; any other verdict forgets it. So what was counted twice in memory is counted
//! once here, whatever fails or is started again in between. Records of one partition see what those
//! before them have set; other partitions have keys of their own.
//!
//! ```
//! use logmill_module::prelude::*;
//!
//! /// Says how many records there were of each key.
//! fn handle(message: Message) -> Result<Verdict> {
//!     let key = message.key_text().context("the record has no key")?;
//!     let seen: u64 = match state::get_text(key)? {
//!         Some(count) => count.parse()?,
//!         None => 0,
//!     };
//!     state::set(key, (seen + 1).to_string());
//!     Ok(Verdict::done([Output::new().key(key).value((seen + 1).to_string())]))
//! }
//!
//! let host = logmill_module::testing::TestHost::new().with_state("a", "41");
//! let verdict = handle(Message::new("x").with_key("a"))?;
//! assert_eq!(verdict, Verdict::done([Output::new().key("a").value("42")]));
//! assert_eq!(host.state()["a"], b"42");
//! # Ok::<(), Error>(())
//! ```
//!
//! A key has at most 1 KiB and a value at most 1 MiB; all of a partition is kept in the broker's memory,
//! so it is for what is small: counters, the step a saga is at, the last value of each key. What is too
//! much fails the attempt as `state-limit`.

use crate::{Context, Result};

/// The value of a key, with what this call has changed.
#[must_use]
pub fn get(key: &str) -> Option<Vec<u8>> {
    #[cfg(target_arch = "wasm32")]
    return crate::guest::state_get(key);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::state_get(key)
}

/// The value of a key as text.
///
/// # Errors
/// When it isn't UTF-8.
pub fn get_text(key: &str) -> Result<Option<String>> {
    get(key)
        .map(|value| String::from_utf8(value).context("the state holds a value that isn't text"))
        .transpose()
}

/// Sets a key.
pub fn set(key: &str, value: impl AsRef<[u8]>) {
    #[cfg(target_arch = "wasm32")]
    crate::guest::state_set(key, value.as_ref());
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::state_set(key, value.as_ref());
}

/// Deletes a key.
pub fn delete(key: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::guest::state_delete(key);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::state_delete(key);
}
