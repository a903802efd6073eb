//! A copy of a delivery: the same thing, as it would have happened in another repository.

use bytes::Bytes;
use logmill_model::{Pointer, Record};

use crate::Failure;

use super::deliveries::DELIVERY;
use super::expectation::Output;

/// Makes copies. All that names the repository or the delivery gets a suffix.
#[derive(Debug)]
pub(super) struct Copies {
    /// Where a payload has the number of its repository.
    repository_id: Pointer,
    /// Where a payload has the name of its repository.
    repository_name: Pointer,
}

/// Where an output has the name of its repository.
const OUTPUT_REPOSITORY: &str = "/repository";

impl Copies {
    pub(super) fn new() -> Result<Self, Failure> {
        let pointer = |text: &str| text.parse::<Pointer>().map_err(anyhow::Error::msg);
        Ok(Self {
            repository_id: pointer("/repository/id")?,
            repository_name: pointer("/repository/full_name")?,
        })
    }

    /// The record with `-NN` after its delivery's id and its repository's name, which is its key,
    /// and `NN` after its repository's number.
    pub(super) fn copied(&self, record: &Record, copy: usize) -> Result<Record, Failure> {
        let suffix = suffix(copy);
        let longer = |text: &[u8]| Bytes::from([text, suffix.as_bytes()].concat());
        let mut copied = record.clone();
        copied.key = record.key.as_deref().map(longer);
        for header in copied.headers.iter_mut().filter(|header| header.name == DELIVERY) {
            header.value = longer(&header.value);
        }
        if let Some(value) = &record.value
            && let Ok(text) = std::str::from_utf8(value)
        {
            let text = appended(text, &self.repository_id, &suffix[1..])?;
            copied.value = Some(appended(&text, &self.repository_name, &suffix)?.into());
        }
        Ok(copied)
    }
}

/// What should follow from a copy where this follows from the original.
pub(super) fn output_of_copy(output: &Output, copy: usize) -> Result<Output, Failure> {
    let suffix = suffix(copy);
    let repository = OUTPUT_REPOSITORY.parse().map_err(anyhow::Error::msg)?;
    let value = output.value.as_deref().map(|value| appended(value, &repository, &suffix));
    let key = output.key.as_deref().map(|key| match key.split_once('#') {
        Some((repository, number)) => format!("{repository}{suffix}#{number}"),
        None => key.to_owned(),
    });
    Ok(Output { topic: output.topic.clone(), key, value: value.transpose()? })
}

fn suffix(copy: usize) -> String {
    format!("-{copy:02}")
}

/// The document with more at the end of the text or number that lies there; as it is, where
/// nothing does.
fn appended(document: &str, at: &Pointer, more: &str) -> Result<String, Failure> {
    let Ok(json) = serde_json::from_str(document) else { return Ok(document.to_owned()) };
    let Some(place) = at.place(json).map_err(anyhow::Error::from)? else {
        return Ok(document.to_owned());
    };
    // The place is the document's own text, a string with its quotes.
    let end = if document[..place.end].ends_with('"') { place.end - 1 } else { place.end };
    let (before, after) = document.split_at(end);
    Ok([before, more, after].concat())
}

#[cfg(test)]
mod tests {
    use logmill_model::Header;

    use super::*;

    #[test]
    fn a_copy_differs_in_its_ids_and_its_repository_alone() {
        let record = |value: &str, key: &str, delivery: &str| Record {
            key: Some(key.to_owned().into()),
            value: Some(value.to_owned().into()),
            headers: vec![Header::new("event", "push"), Header::new(DELIVERY, delivery.to_owned())],
            ..Record::default()
        };
        for (value, expected) in [
            (
                r#"{"id":1,"repository":{"id": 17, "full_name": "a/b", "x":1}}"#,
                r#"{"id":1,"repository":{"id": 1705, "full_name": "a/b-05", "x":1}}"#,
            ),
            (r#"{"repository":null}"#, r#"{"repository":null}"#),
            ("no JSON", "no JSON"),
        ] {
            let copy = Copies::new().unwrap().copied(&record(value, "a/b", "d"), 5).unwrap();
            assert_eq!(copy, record(expected, "a/b-05", "d-05"));
        }
    }

    #[test]
    fn what_follows_from_a_copy_names_its_repository() {
        let output = |key: &str, value: Option<&str>| Output {
            topic: "t".into(),
            key: Some(key.into()),
            value: value.map(str::to_owned),
        };
        for (original, copy) in [
            (
                output("a/b#7", Some(r#"{"number":7,"repository":"a/b"}"#)),
                output("a/b-05#7", Some(r#"{"number":7,"repository":"a/b-05"}"#)),
            ),
            (output("a/b#7", None), output("a/b-05#7", None)),
        ] {
            assert_eq!(output_of_copy(&original, 5).unwrap(), copy);
        }
    }
}
