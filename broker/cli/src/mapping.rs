//! From a line of input to a record: which part of the line becomes what.

use std::fmt;

use bytes::Bytes;
use logmill_model::{Header, Pointer, Record};
use serde_json::value::RawValue;

use crate::record_json;

/// The header that carries an idempotency key.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What a line of input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum LineFormat {
    /// Any bytes: the value, unless pointers look into it.
    #[default]
    Lines,
    /// A JSON document: the value, unless pointers look into it. Blank lines are skipped.
    Ndjson,
    /// A record as `consume -o json` prints it. Blank lines are skipped.
    Record,
}

/// How lines become records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Mapping {
    pub(crate) format: LineFormat,
    pub(crate) key: Option<Pointer>,
    pub(crate) value: Option<Pointer>,
    pub(crate) headers: Vec<(String, Pointer)>,
    pub(crate) idempotency_key: Option<Pointer>,
    /// On every record, before those from the line.
    pub(crate) fixed_headers: Vec<Header>,
}

/// Why a line can't become a record.
#[derive(Debug)]
pub(crate) enum BadLine {
    NotJson(serde_json::Error),
    NotRecord(serde_json::Error),
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(error) => write!(f, "is not JSON ({})", in_line(error)),
            Self::NotRecord(error) => {
                write!(f, "is not a record as consume -o json prints it ({})", in_line(error))
            }
        }
    }
}

/// The error without its line, which is always 1: a document here is one line of a file.
fn in_line(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}

impl Mapping {
    /// Whether a part of the line is asked for, so that it must be JSON.
    pub(crate) fn has_pointers(&self) -> bool {
        self.key.is_some()
            || self.value.is_some()
            || self.idempotency_key.is_some()
            || !self.headers.is_empty()
    }

    /// The record of a line (without its line end); None for a blank line that is not a value in
    /// its own right. Unless the line says when the record was made, it is made when it is sent.
    pub(crate) fn record(&self, line: &[u8]) -> Result<Option<Record>, BadLine> {
        let is_json = self.format != LineFormat::Lines || self.has_pointers();
        if is_json && line.trim_ascii().is_empty() {
            return Ok(None);
        }
        let mut record = match self.format {
            LineFormat::Record => record_json::read_record(line).map_err(BadLine::NotRecord)?,
            _ if is_json => self.pointed(line).map_err(BadLine::NotJson)?,
            _ => Record { value: Some(Bytes::copy_from_slice(line)), ..Record::default() },
        };
        record.headers.splice(0..0, self.fixed_headers.iter().cloned());
        Ok(Some(record))
    }

    fn pointed(&self, line: &[u8]) -> Result<Record, serde_json::Error> {
        let document: &RawValue = serde_json::from_slice(line)?;
        let find = |pointer: &Option<Pointer>| match pointer {
            Some(pointer) => pointer.bytes(document),
            None => Ok(None),
        };
        let value = match (&self.value, self.format) {
            (Some(pointer), _) => pointer.bytes(document)?,
            (None, LineFormat::Lines) => Some(Bytes::copy_from_slice(line)),
            (None, _) => Some(Bytes::copy_from_slice(document.get().as_bytes())),
        };
        let mut headers = Vec::with_capacity(self.headers.len() + 1);
        for (name, pointer) in &self.headers {
            headers.extend(pointer.bytes(document)?.map(|value| Header::new(name, value)));
        }
        headers.extend(find(&self.idempotency_key)?.map(|key| Header::new(IDEMPOTENCY_KEY, key)));
        Ok(Record { key: find(&self.key)?, value, headers, ..Record::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(text: &str) -> Pointer {
        text.parse().unwrap()
    }

    fn webhooks() -> Mapping {
        Mapping {
            format: LineFormat::Ndjson,
            key: Some(pointer("/payload/repository/full_name")),
            value: Some(pointer("/payload")),
            headers: vec![("event".into(), pointer("/event"))],
            idempotency_key: Some(pointer("/delivery")),
            fixed_headers: vec![Header::new("from", "test")],
        }
    }

    #[test]
    fn pointers_choose_the_parts_of_a_record() {
        let line =
            br#"{"event":"push","delivery":"d1","payload":{"repository":{"full_name":"o/r"}}}"#;
        let record = webhooks().record(line).unwrap().unwrap();
        assert_eq!(
            record,
            Record {
                key: Some("o/r".into()),
                value: Some(r#"{"repository":{"full_name":"o/r"}}"#.into()),
                headers: vec![
                    Header::new("from", "test"),
                    Header::new("event", "push"),
                    Header::new("idempotency-key", "d1"),
                ],
                ..Record::default()
            }
        );
    }

    #[test]
    fn what_a_pointer_does_not_find_is_absent() {
        let line = br#"{"event":null,"payload":{"id":1}}"#;
        let record = webhooks().record(line).unwrap().unwrap();
        assert_eq!(record.key, None);
        assert_eq!(record.value, Some(r#"{"id":1}"#.into()));
        assert_eq!(record.headers, vec![Header::new("from", "test")]);
    }

    #[test]
    fn each_format_takes_its_own_part_of_the_line() {
        let keyed = |format| Mapping { format, key: Some(pointer("/id")), ..Mapping::default() };
        let plain = |format| Mapping { format, ..Mapping::default() };
        for (mapping, line, key, value) in [
            (plain(LineFormat::Lines), " any\r", None, " any\r"),
            (plain(LineFormat::Lines), "", None, ""),
            (plain(LineFormat::Ndjson), " [1, 2] ", None, "[1, 2]"),
            (keyed(LineFormat::Lines), " {\"id\":1}", Some("1"), " {\"id\":1}"),
            (keyed(LineFormat::Ndjson), " {\"id\":1}", Some("1"), "{\"id\":1}"),
            (plain(LineFormat::Record), "{\"key\":\"k\",\"value\":\"v\"}", Some("k"), "v"),
        ] {
            let record = mapping.record(line.as_bytes()).unwrap().unwrap();
            assert_eq!(record.key.as_deref(), key.map(str::as_bytes), "{line}");
            assert_eq!(record.value.as_deref(), Some(value.as_bytes()), "{line}");
        }
    }

    #[test]
    fn blank_lines_are_skipped_where_json_is_asked() {
        for format in [LineFormat::Ndjson, LineFormat::Record] {
            let mapping = Mapping { format, ..Mapping::default() };
            assert_eq!(mapping.record(b" \r").unwrap(), None);
        }
    }

    #[test]
    fn a_line_that_is_not_json_says_where_it_goes_wrong() {
        let text = |line: &[u8]| webhooks().record(line).unwrap_err().to_string();
        assert_eq!(text(b"{\"a\":1,}"), "is not JSON (key must be a string at column 8)");
        assert!(text(b"{} {}").contains("trailing characters"));
        assert!(text(b"\"\xff\"").starts_with("is not JSON"));
        let records = Mapping { format: LineFormat::Record, ..Mapping::default() };
        let error = records.record(b"{\"vlaue\":1}").unwrap_err().to_string();
        assert!(error.starts_with("is not a record") && error.contains("vlaue"), "{error}");
    }
}
