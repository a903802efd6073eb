//! What a consumer does once, however often it is asked to.
//!
//! ```
//! use logmill_module::prelude::*;
//!
//! /// Charges each order once.
//! fn handle(message: Message) -> Result<Verdict> {
//!     let order = message.key_text().context("the record has no key")?;
//!     match idempotency::claim_key(order) {
//!         Claim::First => Ok(Verdict::done([Output::to("charges").key(order)])),
//!         Claim::Seen(by) => Ok(Verdict::drop(format!("charged by offset {}", by.offset))),
//!     }
//! }
//!
//! let position = Position { topic: "orders".to_owned(), partition: 0, offset: 7 };
//! let _host = logmill_module::testing::TestHost::new().with_claimed("17", position);
//! assert_eq!(handle(Message::new("").with_key("17"))?, Verdict::drop("charged by offset 7"));
//! # Ok::<(), Error>(())
//! ```

/// Whose a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nobody has claimed it: it is this record's.
    First,
    /// The record at this position has, and it is less than the deployment's window ago.
    Seen(Position),
}

/// Where a record lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
}

/// Claims a key, of at most 1 KiB, for this record. It becomes the record's when its verdict is
/// [`done`](crate::Verdict::done) or [`drop`](crate::Verdict::drop), in the same durable step, and
/// nobody's with any other. Keys are the deployment's, over all its topics and partitions; a record
/// that claims one twice is first both times.
///
/// While another record that claims the same key is under way, this does not return: the broker ends
/// the call, which costs the record no attempt, and makes it again when that one is settled.
#[must_use]
pub fn claim_key(key: &str) -> Claim {
    #[cfg(target_arch = "wasm32")]
    return crate::guest::claim_key(key);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::claim_key(key)
}
