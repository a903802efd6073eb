//! A record as a module is shown it.

use std::str;

use crate::{Context, Error, Result};

/// A name and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The name. Names repeat and keep their order.
    pub name: String,
    /// Any bytes.
    pub value: Vec<u8>,
}

impl Header {
    /// A header of this name and value.
    pub fn new(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// A record as a module is shown it. Times are milliseconds since the Unix epoch.
///
/// In a test, make one with [`Message::new`] and the `with_…` methods:
///
/// ```
/// use logmill_module::Message;
///
/// let message = Message::new(r#"{"number": 1}"#).with_key("octo").with_header("event", "issues");
/// assert_eq!(message.value_text()?, r#"{"number": 1}"#);
/// assert_eq!(message.key.as_deref(), Some(&b"octo"[..]));
/// assert_eq!(message.header_text("event"), Some("issues"));
/// assert_eq!(message.attempt, 1);
/// # Ok::<(), logmill_module::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The topic it lies in.
    pub topic: String,
    /// The partition of the topic.
    pub partition: u32,
    /// None for a router: at produce time a record has no offset yet.
    pub offset: Option<u64>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's value; None in a tombstone.
    pub value: Option<Vec<u8>>,
    /// The record's headers.
    pub headers: Vec<Header>,
    /// When the producer made the record.
    pub create_time_ms: u64,
    /// When the broker appended it; None for a router.
    pub append_time_ms: Option<u64>,
    /// 1 for the first attempt at this record.
    pub attempt: u32,
    /// When the first attempt failed; None in the first.
    pub first_failed_time_ms: Option<u64>,
}

impl Message {
    /// A record of this value, as it is at the first attempt: offset 0 of the topic `test`,
    /// without key and headers.
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self {
            topic: "test".to_owned(),
            partition: 0,
            offset: Some(0),
            key: None,
            value: Some(value.into()),
            headers: Vec::new(),
            create_time_ms: 0,
            append_time_ms: Some(0),
            attempt: 1,
            first_failed_time_ms: None,
        }
    }

    /// The same record with this key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same record with one header more.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push(Header::new(name, value));
        self
    }

    /// The same record as it is shown at a later attempt.
    #[must_use]
    pub fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self.first_failed_time_ms = (attempt > 1).then_some(self.create_time_ms);
        self
    }

    /// The value's bytes.
    ///
    /// # Errors
    /// When there is no value (a tombstone).
    pub fn value_bytes(&self) -> Result<&[u8]> {
        self.value.as_deref().context("the record has no value")
    }

    /// The value as text.
    ///
    /// # Errors
    /// When there is no value, or it is not UTF-8.
    pub fn value_text(&self) -> Result<&str> {
        str::from_utf8(self.value_bytes()?).map_err(|_| Error::new("the value is not UTF-8"))
    }

    /// The key as text; None when there is no key, or it is not UTF-8.
    #[must_use]
    pub fn key_text(&self) -> Option<&str> {
        str::from_utf8(self.key.as_deref()?).ok()
    }

    /// The value of the first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|header| header.name == name).map(|header| &header.value[..])
    }

    /// The value of the first header of this name as text; None when there is no such header, or
    /// it is not UTF-8.
    #[must_use]
    pub fn header_text(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.header(name)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_absent_or_no_text_is_an_error_that_says_so() {
        let tombstone = Message { value: None, ..Message::new("") };
        assert_eq!(tombstone.value_text(), Err(Error::new("the record has no value")));
        let bytes = Message::new([0xff]).with_key([0xff]).with_header("h", [0xff]);
        assert_eq!(bytes.value_text(), Err(Error::new("the value is not UTF-8")));
        assert_eq!((bytes.key_text(), bytes.header_text("h")), (None, None));
    }

    #[test]
    fn the_first_of_repeated_headers_is_found() {
        let message = Message::new("").with_header("a", "1").with_header("a", "2");
        assert_eq!(message.header("a"), Some(&b"1"[..]));
    }
}
