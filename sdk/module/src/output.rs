//! A record that a module wants produced.

use crate::Header;

/// A record that a module wants produced, in the same durable step as the record it follows from.
///
/// ```
/// use logmill_module::Output;
///
/// let output = Output::to("issues").key("octo-org/octo-repo").value(b"{}").header("team", "core");
/// assert_eq!(output.topic.as_deref(), Some("issues"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// An alias or topic of the deployment's outputs (`--out [alias=]topic`); None is its only one.
    pub topic: Option<String>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's value; None makes a tombstone.
    pub value: Option<Vec<u8>>,
    /// The record's headers.
    pub headers: Vec<Header>,
}

impl Output {
    /// An empty record to the deployment's only output.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty record to `topic`, an alias or topic that the deployment grants.
    pub fn to(topic: impl Into<String>) -> Self {
        Self { topic: Some(topic.into()), ..Self::default() }
    }

    /// The same record with this key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same record with this value.
    #[must_use]
    pub fn value(mut self, value: impl Into<Vec<u8>>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// The same record with one header more. Names beginning `dlq-` or `logmill-` are the
    /// broker's own and are refused.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push(Header::new(name, value));
        self
    }
}
