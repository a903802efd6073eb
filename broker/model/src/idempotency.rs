//! Where the records of a deployment have their idempotency key. Pure.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::limits::CLAIM_KEY_BYTES_MAX;
use crate::{Error, Pointer, Record, RecordRef};

/// Where a record's idempotency key is. A record whose key an earlier one has claimed is skipped.
///
/// Text: `header:NAME`, `key`, `json:/POINTER` (into the value), or `none`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Idempotency {
    /// Nowhere: each record is handled.
    #[default]
    None,
    /// The value of the first header of this name.
    Header(String),
    /// The record's key.
    Key,
    /// What the pointer finds in the value, which is JSON: the text of a string, anything else as its
    /// exact source bytes.
    Json(Pointer),
}

/// Why a record has no usable key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoIdempotencyKey {
    /// It isn't there, or it is null or empty: such records would all be each other's duplicates.
    #[error("the record has no idempotency key: {0}")]
    Missing(String),
    /// It is longer than a key may be.
    #[error(
        "the record's idempotency key has {bytes} bytes, at most {CLAIM_KEY_BYTES_MAX} are allowed"
    )]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
}

impl Idempotency {
    /// How long a key is remembered unless it is said otherwise: 24 hours.
    pub const WINDOW_MS: u64 = 24 * 3_600_000;
    /// How long a key can be remembered: 365 days.
    pub const WINDOW_MS_MAX: u64 = 365 * 24 * 3_600_000;

    /// Whether there is none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// The key of a record where it is a part of it as it lies in its batch, and needs no search in JSON.
    #[must_use]
    pub fn plain_key_of<'a>(&self, record: &RecordRef<'a>) -> Option<&'a [u8]> {
        match self {
            Self::None | Self::Json(_) => None,
            Self::Header(name) => {
                record.headers().find(|(it, _)| it == name).map(|(_, value)| value)
            }
            Self::Key => record.key,
        }
    }

    /// The key of a record; None where none is declared.
    ///
    /// # Errors
    /// [`NoIdempotencyKey`].
    pub fn key_of(&self, record: &Record) -> Result<Option<Bytes>, NoIdempotencyKey> {
        let missing = |what: String| NoIdempotencyKey::Missing(what);
        let key = match self {
            Self::None => return Ok(None),
            Self::Header(name) => {
                let header = record.headers.iter().find(|header| header.name == *name);
                let value = header.map(|header| header.value.clone());
                value.ok_or_else(|| missing(format!("header {name:?} is missing")))?
            }
            Self::Key => record.key.clone().ok_or_else(|| missing("its key is missing".into()))?,
            Self::Json(pointer) => {
                let value = record.value.as_deref();
                let value = value.ok_or_else(|| missing("its value is missing".into()))?;
                let found = serde_json::from_slice(value).and_then(|it| pointer.bytes(it));
                let found =
                    found.map_err(|error| missing(format!("its value is no JSON: {error}")))?;
                found.ok_or_else(|| missing(format!("its value has nothing at {pointer}")))?
            }
        };
        match key.len() {
            0 => Err(missing("it is empty".to_owned())),
            bytes if bytes > CLAIM_KEY_BYTES_MAX => Err(NoIdempotencyKey::TooLong { bytes }),
            _ => Ok(Some(key)),
        }
    }
}

impl FromStr for Idempotency {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::Idempotency(text.to_owned());
        match text.split_once(':') {
            None if text == "key" => Ok(Self::Key),
            None if text == "none" => Ok(Self::None),
            Some(("header", name)) if !name.is_empty() => Ok(Self::Header(name.to_owned())),
            Some(("json", pointer)) => pointer.parse().map(Self::Json).map_err(|_| bad()),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Key => f.write_str("key"),
            Self::Json(pointer) => write!(f, "json:{pointer}"),
        }
    }
}

impl TryFrom<String> for Idempotency {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Idempotency> for String {
    fn from(idempotency: Idempotency) -> Self {
        idempotency.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Header;

    #[test]
    fn a_declaration_reads_as_it_prints() {
        for text in ["none", "key", "header:delivery", "header:a:b", "json:/a~1b/0", "json:"] {
            assert_eq!(text.parse::<Idempotency>().unwrap().to_string(), text);
        }
        for bad in ["", "keys", "header", "header:", "json", "json:a", "json:/~2", "key:x", "none:"]
        {
            assert_eq!(bad.parse::<Idempotency>(), Err(Error::Idempotency(bad.to_owned())));
        }
    }

    #[test]
    fn a_key_is_the_exact_bytes_of_what_is_declared() {
        let record = Record {
            key: Some(Bytes::from_static(b"\xffk")),
            value: Some(
                br#" {"id": 1.50 , "text": "x\u00e9", "deep": [{"a": {"b":1}}], "no": null, "": ""}"#[..]
                    .into(),
            ),
            headers: vec![
                Header::new("other", "o"),
                Header::new("id", "first"),
                Header::new("id", "second"),
                Header::new("empty", ""),
                Header::new("long", "x".repeat(1024)),
                Header::new("longer", "x".repeat(1025)),
            ],
            ..Record::default()
        };
        let empty = Record::default();
        let text = Record { value: Some("no json".into()), ..Record::default() };
        let long = "x".repeat(1024);
        let missing = "the record has no idempotency key: ";
        for (declared, record, expected) in [
            ("none", &record, Ok(None)),
            ("key", &record, Ok(Some(&b"\xffk"[..]))),
            ("key", &empty, Err("its key is missing")),
            ("header:id", &record, Ok(Some(b"first"))),
            ("header:ID", &record, Err("header \"ID\" is missing")),
            ("header:empty", &record, Err("it is empty")),
            ("header:long", &record, Ok(Some(long.as_bytes()))),
            ("header:longer", &record, Err("1025 bytes, at most 1024")),
            ("json:/id", &record, Ok(Some(b"1.50"))),
            ("json:/text", &record, Ok(Some("xé".as_bytes()))),
            ("json:/deep/0/a", &record, Ok(Some(br#"{"b":1}"#))),
            ("json:/no", &record, Err("nothing at /no")),
            ("json:/nothing", &record, Err("nothing at /nothing")),
            ("json:/", &record, Err("it is empty")),
            ("json:/id", &text, Err("its value is no JSON")),
            ("json:/id", &empty, Err("its value is missing")),
        ] {
            let key = declared.parse::<Idempotency>().unwrap().key_of(record);
            match expected {
                Ok(key_there) => {
                    assert_eq!(key, Ok(key_there.map(Bytes::copy_from_slice)), "{declared}")
                }
                Err(why) => {
                    let error = key.unwrap_err();
                    let is_missing = matches!(error, NoIdempotencyKey::Missing(_));
                    assert_eq!(is_missing, error.to_string().starts_with(missing), "{error}");
                    assert!(error.to_string().contains(why), "{declared}: {error}");
                }
            }
        }
    }
}
