//! A record as JSON: what `consume -o json` prints and `produce --format record` reads.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use logmill_model::{
    DeadLetter, Header, LetterStatus, Offset, Record, Source, StateEntry, StatePlace, Timestamp,
    TopicName,
};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes as JSON: a string where they are UTF-8, else `{"base64":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Blob(Bytes);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(&self.0) {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("base64", &BASE64_STANDARD.encode(&self.0))?;
        map.end()
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a string or {\"base64\":\"…\"}")]
enum BlobForm {
    Text(String),
    #[serde(rename_all = "lowercase")]
    Encoded {
        base64: String,
    },
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        match BlobForm::deserialize(source)? {
            BlobForm::Text(text) => Ok(Self(text.into())),
            BlobForm::Encoded { base64 } => BASE64_STANDARD
                .decode(base64)
                .map(|bytes| Self(bytes.into()))
                .map_err(|error| serde::de::Error::custom(format!("bad base64: {error}"))),
        }
    }
}

/// A record in its place.
#[derive(Debug, Serialize)]
pub(crate) struct PlacedRecord<'a> {
    topic: &'a str,
    partition: u32,
    offset: Offset,
    key: Option<Blob>,
    value: Option<Blob>,
    headers: Vec<(String, Blob)>,
    create_ts: Timestamp,
    append_ts: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    dlq: Option<DeadLetterJson>,
}

/// Where a record lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: u32,
    pub(crate) offset: Offset,
    pub(crate) append_ts: Timestamp,
}

impl<'a> PlacedRecord<'a> {
    pub(crate) fn new(place: Place<'a>, record: &Record) -> Self {
        let Place { topic, partition, offset, append_ts } = place;
        let headers = record.headers.iter();
        Self {
            topic,
            partition,
            offset,
            key: record.key.clone().map(Blob),
            value: record.value.clone().map(Blob),
            headers: headers.map(|h| (h.name.clone(), Blob(h.value.clone()))).collect(),
            create_ts: record.create_ts,
            append_ts,
            dlq: None,
        }
    }

    /// The same with its provenance, for `dlq show`.
    pub(crate) fn with_death(mut self, letter: &DeadLetter, status: LetterStatus) -> Self {
        self.dlq = Some(DeadLetterJson::new(letter, status));
        self
    }
}

/// The provenance of a dead letter, and what has become of it.
#[derive(Debug, Serialize)]
struct DeadLetterJson {
    status: LetterStatus,
    reason: String,
    detail: String,
    attempts: u32,
    source: Source,
    deployment: String,
    version: u32,
    digest: String,
    first_failed_ts: Timestamp,
    last_failed_ts: Timestamp,
    history: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_from: Option<Offset>,
}

impl DeadLetterJson {
    fn new(letter: &DeadLetter, status: LetterStatus) -> Self {
        Self {
            status,
            reason: letter.reason.clone(),
            detail: letter.detail.clone(),
            attempts: letter.attempts,
            source: letter.source.clone(),
            deployment: letter.deployment.clone(),
            version: letter.version,
            digest: letter.digest.clone(),
            first_failed_ts: letter.first_failed_ts,
            last_failed_ts: letter.last_failed_ts,
            history: letter.history.clone(),
            edited_from: letter.edited_from,
        }
    }
}

/// A key of a module's state, for `module state`.
#[derive(Debug, Serialize)]
pub(crate) struct StateJson<'a> {
    topic: &'a TopicName,
    partition: u32,
    key: &'a str,
    value: Blob,
}

impl<'a> From<&'a StateEntry> for StateJson<'a> {
    fn from(entry: &'a StateEntry) -> Self {
        let StateEntry { place: StatePlace { topic, partition, key }, value } = entry;
        Self { topic, partition: *partition, key, value: Blob(value.clone()) }
    }
}

/// A record as it is read: the place it was printed with says nothing of where it goes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadRecord {
    #[serde(default)]
    key: Option<Blob>,
    #[serde(default)]
    value: Option<Blob>,
    #[serde(default)]
    headers: Vec<(String, Blob)>,
    #[serde(default)]
    create_ts: Option<Timestamp>,
    #[serde(default, rename = "topic")]
    _topic: serde::de::IgnoredAny,
    #[serde(default, rename = "partition")]
    _partition: serde::de::IgnoredAny,
    #[serde(default, rename = "offset")]
    _offset: serde::de::IgnoredAny,
    #[serde(default, rename = "append_ts")]
    _append_ts: serde::de::IgnoredAny,
}

/// Reads a record of this form. Without a create time it has 0, which is no time.
pub(crate) fn read_record(line: &[u8]) -> Result<Record, serde_json::Error> {
    // Serde would read an array as the fields in order.
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err(serde::de::Error::custom("a record is a JSON object"));
    }
    let read: ReadRecord = serde_json::from_slice(line)?;
    Ok(Record {
        key: read.key.map(|blob| blob.0),
        value: read.value.map(|blob| blob.0),
        headers: read.headers.into_iter().map(|(name, blob)| Header::new(name, blob.0)).collect(),
        create_ts: read.create_ts.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use logmill_model::{FailureReason, ModuleDigest};

    use super::*;

    const PLACE: Place<'_> =
        Place { topic: "orders", partition: 3, offset: Offset(77), append_ts: Timestamp(9) };

    fn record() -> Record {
        Record {
            key: Some("k".into()),
            value: Some(Bytes::from_static(&[0xff, 0x00])),
            headers: vec![Header::new("h", "1"), Header::new("h", vec![0x80])],
            create_ts: Timestamp(5),
        }
    }

    #[test]
    fn a_record_prints_text_as_text_and_other_bytes_as_base64() {
        for (record, expected) in [
            (
                record(),
                r#"{"topic":"orders","partition":3,"offset":77,"key":"k","value":{"base64":"/wA="},"headers":[["h","1"],["h",{"base64":"gA=="}]],"create_ts":5,"append_ts":9}"#,
            ),
            (
                Record::default(),
                r#"{"topic":"orders","partition":3,"offset":77,"key":null,"value":null,"headers":[],"create_ts":0,"append_ts":9}"#,
            ),
        ] {
            let printed = serde_json::to_string(&PlacedRecord::new(PLACE, &record)).unwrap();
            assert_eq!(printed, expected);
            assert_eq!(read_record(printed.as_bytes()).unwrap(), record);
        }
    }

    #[test]
    fn a_record_is_read_with_what_it_has() {
        let read = |text: &str| read_record(text.as_bytes());
        assert_eq!(read("{}").unwrap().create_ts, Timestamp::ZERO);
        assert_eq!(read(r#"{"value":"v"}"#).unwrap().value, Some("v".into()));
        for bad in [
            r#"{"valve":"v"}"#,
            r#"{"value":1}"#,
            r#"{"value":{"base64":"%"}}"#,
            r#"{"headers":[["h"]]}"#,
            "[]",
            "nonsense",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_of_the_state_prints_its_value_as_a_record_does() {
        let place = StatePlace { topic: "orders".parse().unwrap(), partition: 3, key: "k".into() };
        for (value, printed) in [(&b"v"[..], r#""v""#), (&[0xff], r#"{"base64":"/w=="}"#)] {
            let entry = StateEntry { place: place.clone(), value: Bytes::from_static(value) };
            let line = serde_json::to_string(&StateJson::from(&entry)).unwrap();
            let expected =
                format!(r#"{{"topic":"orders","partition":3,"key":"k","value":{printed}}}"#);
            assert_eq!(line, expected);
        }
    }

    #[test]
    fn a_dead_letter_prints_where_it_came_from() {
        let source = Source { topic: "orders".into(), partition: 1, offset: Offset(4) };
        let digest = ModuleDigest([0; 32]);
        let letter = DeadLetter::new(FailureReason::Trap, "why", source, "triage", 2, digest);
        let printed = serde_json::to_value(
            PlacedRecord::new(PLACE, &record()).with_death(&letter, LetterStatus::Open),
        );
        assert_eq!(
            printed.unwrap()["dlq"],
            serde_json::json!({
                "status": "open", "reason": "trap", "detail": "why", "attempts": 1,
                "source": {"topic": "orders", "partition": 1, "offset": 4},
                "deployment": "triage", "version": 2, "digest": digest.to_string(),
                "first_failed_ts": 0, "last_failed_ts": 0, "history": [],
            })
        );
    }
}
