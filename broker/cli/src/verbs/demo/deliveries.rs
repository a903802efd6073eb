//! The input many times over: each copy of a delivery is a delivery of its own, from a repository
//! of its own.

use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use logmill_model::{Pointer, Record};

use crate::Failure;
use crate::input::Source;
use crate::mapping::{LineFormat, Mapping};

use super::example::Example;

/// How often the example's input is produced.
pub(super) const COPIES: usize = 20;
/// The header that tells deliveries apart.
pub(super) const DELIVERY: &str = "delivery";
/// Where a payload has the number of its repository.
const REPOSITORY_ID: &str = "/repository/id";

/// A record to be produced.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    /// What tells it from all others.
    pub(super) id: String,
    /// The line of the example's input that it is a copy of; None for a malformed one.
    pub(super) line: Option<usize>,
    pub(super) record: Record,
}

/// All deliveries in the order in which they are produced. The malformed ones stand in the middle.
pub(super) fn all(example: &Example) -> Result<Vec<Delivery>, Failure> {
    let Source::File(path) = &example.feed.source else { return Ok(Vec::new()) };
    let originals = read(path, &example.feed.mapping)?;
    let records = Mapping { format: LineFormat::Record, ..Mapping::default() };
    let malformed = read(&example.malformed, &records)?;
    let repository_id: Pointer = REPOSITORY_ID.parse().map_err(anyhow::Error::msg)?;
    let mut all = Vec::with_capacity(originals.len() * COPIES + malformed.len());
    for copy in 0..COPIES {
        for (line, record) in &originals {
            let copied = copied(record, copy, &repository_id)?;
            all.push(Delivery { id: id(&copied)?, line: Some(*line), record: copied });
        }
        if copy == COPIES / 2 {
            for (_, record) in &malformed {
                all.push(Delivery { id: id(record)?, line: None, record: record.clone() });
            }
        }
    }
    Ok(all)
}

fn read(path: &Path, mapping: &Mapping) -> Result<Vec<(usize, Record)>, Failure> {
    let shown = path.display();
    let text = std::fs::read(path).with_context(|| format!("can't read {shown}"))?;
    let mut records = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let record = mapping
            .record(line)
            .map_err(|why| anyhow::anyhow!("line {} of {shown} {why}", index + 1))?;
        records.extend(record.map(|record| (index + 1, record)));
    }
    Ok(records)
}

/// What tells a record from all others.
pub(super) fn id(record: &Record) -> Result<String, Failure> {
    let header = record.header(DELIVERY).context("a record has no delivery header")?;
    Ok(String::from_utf8_lossy(header).into_owned())
}

/// The record with `-NN` after its delivery's id, and `NN` after its repository's.
fn copied(record: &Record, copy: usize, repository_id: &Pointer) -> Result<Record, Failure> {
    let mut copied = record.clone();
    for header in copied.headers.iter_mut().filter(|header| header.name == DELIVERY) {
        let id = String::from_utf8_lossy(&header.value);
        header.value = format!("{id}-{copy:02}").into();
    }
    if let Some(value) = &mut copied.value
        && let Ok(document) = serde_json::from_slice(value)
        && let Some(place) = repository_id.place(document).map_err(anyhow::Error::from)?
    {
        let (before, after) = value.split_at(place.end);
        *value = Bytes::from([before, format!("{copy:02}").as_bytes(), after].concat());
    }
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use logmill_model::Header;

    use super::*;

    #[test]
    fn a_copy_differs_in_its_ids_alone() {
        let pointer: Pointer = REPOSITORY_ID.parse().unwrap();
        let record = |value: &str, delivery: &str| Record {
            key: Some("k".into()),
            value: Some(value.to_owned().into()),
            headers: vec![Header::new("event", "push"), Header::new(DELIVERY, delivery.to_owned())],
            ..Record::default()
        };
        for (value, expected) in [
            (
                r#"{"id":1,"repository":{"id": 17, "x":1}}"#,
                r#"{"id":1,"repository":{"id": 1705, "x":1}}"#,
            ),
            (r#"{"repository":null}"#, r#"{"repository":null}"#),
            ("no JSON", "no JSON"),
        ] {
            let copy = copied(&record(value, "d"), 5, &pointer).unwrap();
            assert_eq!(copy, record(expected, "d-05"));
        }
    }
}
