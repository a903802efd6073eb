//! The provenance of a dead letter, and how it lies in the record's headers.
//!
//! Key, value, headers and create time of a dead letter are the record's own, byte for byte;
//! what is added are headers whose names begin with `dlq-`, which no client may send. So the record is
//! to be had back from its letter.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{FailureReason, Header, ModuleDigest, Offset, Record, Timestamp, limits};

const PREFIX: &str = "dlq-";
const REASON: &str = "dlq-reason";
const DETAIL: &str = "dlq-detail";
const SOURCE_TOPIC: &str = "dlq-source-topic";
const SOURCE_PARTITION: &str = "dlq-source-partition";
const SOURCE_OFFSET: &str = "dlq-source-offset";
const SOURCE_APPEND_TS: &str = "dlq-source-append-ts";
const DEPLOYMENT: &str = "dlq-deployment";
const VERSION: &str = "dlq-version";
const DIGEST: &str = "dlq-digest";
const ATTEMPTS: &str = "dlq-attempts";
const FIRST_FAILED: &str = "dlq-first-failed-ts";
const LAST_FAILED: &str = "dlq-last-failed-ts";
const HISTORY: &str = "dlq-history";
const HISTORY_MAX: usize = 16;
const EDITED_FROM: &str = "dlq-edited-from";
/// The headers that a first death adds, and an edit.
const OTHER_HEADERS: usize = 13;

const _: () = assert!(OTHER_HEADERS + HISTORY_MAX <= limits::BROKER_HEADERS_MAX);

/// Where a dead letter was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: Offset,
}

/// Why, where and when a record died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The cause of the last attempt.
    pub reason: String,
    /// More on it, at most 1 KiB.
    pub detail: String,
    /// Where it was read.
    pub source: Source,
    /// Whose dead letter it is.
    pub deployment: String,
    /// The deployment's version.
    pub version: u32,
    /// The module's digest.
    pub digest: String,
    /// How many attempts failed.
    pub attempts: u32,
    /// When the first one did.
    pub first_failed_ts: Timestamp,
    /// When the last one did.
    pub last_failed_ts: Timestamp,
    /// When it was appended to its source. None in letters of before this was kept.
    pub source_append_ts: Option<Timestamp>,
    /// The later deaths, as text, the oldest first.
    pub history: Vec<String>,
    /// The offset of the letter that this one took the place of with another value.
    pub edited_from: Option<Offset>,
}

impl DeadLetter {
    /// The dead letter of a record that is given up.
    #[must_use]
    pub fn new(
        reason: FailureReason,
        detail: &str,
        source: Source,
        deployment: &str,
        version: u32,
        digest: ModuleDigest,
    ) -> Self {
        Self {
            reason: reason.as_str().to_owned(),
            detail: truncated(detail, limits::DETAIL_BYTES_MAX).to_owned(),
            source,
            deployment: deployment.to_owned(),
            version,
            digest: digest.to_string(),
            attempts: 1,
            first_failed_ts: Timestamp::ZERO,
            last_failed_ts: Timestamp::ZERO,
            source_append_ts: None,
            history: Vec::new(),
            edited_from: None,
        }
    }

    /// `record` with this provenance. A record that is a dead letter already keeps the headers of
    /// its first death, and this one is added to its history, which has the last 16.
    #[must_use]
    pub fn bury(&self, record: &Record) -> Record {
        let mut buried = record.clone();
        if record.header(REASON).is_some() {
            let is_history = |header: &Header| header.name == HISTORY;
            if buried.headers.iter().filter(|it| is_history(it)).count() >= HISTORY_MAX
                && let Some(oldest) = buried.headers.iter().position(is_history)
            {
                buried.headers.remove(oldest);
            }
            buried.headers.push(Header::new(HISTORY, self.summary()));
            return buried;
        }
        let mut add = |name, value: String| buried.headers.push(Header::new(name, value));
        add(REASON, self.reason.clone());
        add(DETAIL, self.detail.clone());
        add(SOURCE_TOPIC, self.source.topic.clone());
        add(SOURCE_PARTITION, self.source.partition.to_string());
        add(SOURCE_OFFSET, self.source.offset.to_string());
        if let Some(ts) = self.source_append_ts {
            add(SOURCE_APPEND_TS, ts.to_string());
        }
        add(DEPLOYMENT, self.deployment.clone());
        add(VERSION, self.version.to_string());
        add(DIGEST, self.digest.clone());
        add(ATTEMPTS, self.attempts.to_string());
        add(FIRST_FAILED, self.first_failed_ts.to_string());
        add(LAST_FAILED, self.last_failed_ts.to_string());
        buried
    }

    /// The record that became this letter, as it was.
    #[must_use]
    pub fn original(letter: &Record) -> Record {
        let mut record = letter.clone();
        record.headers.retain(|header| !header.name.starts_with(PREFIX));
        record
    }

    /// The letter with another value, to take the place of the one that lies at this offset.
    #[must_use]
    pub fn edited(letter: &Record, value: Bytes, offset: Offset) -> Record {
        let mut edited = Record { value: Some(value), ..letter.clone() };
        edited.headers.retain(|header| header.name != EDITED_FROM);
        edited.headers.push(Header::new(EDITED_FROM, offset.to_string()));
        edited
    }

    fn summary(&self) -> String {
        let Source { topic, partition, offset } = &self.source;
        format!(
            "{} {} of {} v{} at {topic}/{partition}@{offset} after {}",
            self.last_failed_ts, self.reason, self.deployment, self.version, self.attempts
        )
    }

    /// Reads the provenance back from a record's headers; None for a record that is no dead letter.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        let text =
            |name| record.header(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let number = |name| text(name).and_then(|text| text.parse::<u64>().ok());
        Some(Self {
            reason: text(REASON)?,
            detail: text(DETAIL)?,
            source: Source {
                topic: text(SOURCE_TOPIC)?,
                partition: u32::try_from(number(SOURCE_PARTITION)?).ok()?,
                offset: Offset(number(SOURCE_OFFSET)?),
            },
            deployment: text(DEPLOYMENT)?,
            version: u32::try_from(number(VERSION)?).ok()?,
            digest: text(DIGEST)?,
            attempts: u32::try_from(number(ATTEMPTS)?).ok()?,
            first_failed_ts: Timestamp(number(FIRST_FAILED)?),
            last_failed_ts: Timestamp(number(LAST_FAILED)?),
            source_append_ts: number(SOURCE_APPEND_TS).map(Timestamp),
            edited_from: number(EDITED_FROM).map(Offset),
            history: record
                .headers
                .iter()
                .filter(|header| header.name == HISTORY)
                .map(|header| String::from_utf8_lossy(&header.value).into_owned())
                .collect(),
        })
    }
}

fn truncated(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(reason: FailureReason) -> DeadLetter {
        let source = Source { topic: "t".into(), partition: 3, offset: Offset(77) };
        let mut letter =
            DeadLetter::new(reason, "why", source, "triage", 2, ModuleDigest([0xab; 32]));
        (letter.first_failed_ts, letter.last_failed_ts) = (Timestamp(5), Timestamp(9));
        letter.source_append_ts = Some(Timestamp(3));
        letter.attempts = 4;
        letter
    }

    #[test]
    fn a_dead_letter_is_its_record_with_provenance() {
        let record = Record {
            key: Some("k".into()),
            headers: vec![Header::new("own", "1")],
            create_ts: Timestamp(1),
            ..Record::default()
        };
        let buried = letter(FailureReason::Trap).bury(&record);
        assert_eq!(
            (&buried.key, &buried.value, buried.create_ts),
            (&record.key, &None, record.create_ts)
        );
        assert_eq!(buried.headers[0], record.headers[0]);
        assert_eq!(DeadLetter::of(&buried), Some(letter(FailureReason::Trap)));
        assert_eq!(DeadLetter::of(&record), None);
        assert_eq!(DeadLetter::original(&buried), record);
    }

    #[test]
    fn a_letter_of_before_the_time_of_appending_was_kept_is_read() {
        let mut buried = letter(FailureReason::Trap).bury(&Record::default());
        buried.headers.retain(|header| header.name != SOURCE_APPEND_TS);
        let before = DeadLetter { source_append_ts: None, ..letter(FailureReason::Trap) };
        assert_eq!(DeadLetter::of(&buried), Some(before));
    }

    #[test]
    fn an_edited_letter_has_another_value_and_says_which_one_it_replaces() {
        let record = Record { key: Some("k".into()), create_ts: Timestamp(1), ..Record::default() };
        let buried = letter(FailureReason::Trap).bury(&record);
        let once = DeadLetter::edited(&buried, "one".into(), Offset(8));
        let twice = DeadLetter::edited(&once, "two".into(), Offset(9));
        let expected = DeadLetter { edited_from: Some(Offset(9)), ..letter(FailureReason::Trap) };
        assert_eq!(DeadLetter::of(&twice), Some(expected));
        let value = Some("two".into());
        assert_eq!(DeadLetter::original(&twice), Record { value, ..record });
    }

    #[test]
    fn a_second_death_is_history_and_leaves_the_first_alone() {
        let mut buried = letter(FailureReason::Trap).bury(&Record::default());
        for death in 1..=20 {
            let last_failed_ts = Timestamp(death);
            let later = DeadLetter { last_failed_ts, ..letter(FailureReason::Error) };
            buried = later.bury(&buried);
            let read = DeadLetter::of(&buried).unwrap();
            assert_eq!((read.reason.as_str(), read.last_failed_ts), ("trap", Timestamp(9)));
            assert_eq!(read.history.len() as u64, death.min(16));
            let last = format!("{death} error of triage v2 at t/3@77 after 4");
            assert_eq!(read.history.last(), Some(&last));
        }
        let read = DeadLetter::of(&buried).unwrap();
        assert!(read.history[0].starts_with("5 error"), "the oldest went: {:?}", read.history);
        assert_eq!(DeadLetter::original(&buried), Record::default());
    }

    #[test]
    fn provenance_fits_the_room_that_records_of_the_broker_have_for_it() {
        let long = |letter: &str, bytes| letter.repeat(bytes);
        let source = Source {
            topic: long("t", limits::TOPIC_NAME_BYTES_MAX),
            partition: u32::MAX,
            offset: Offset(u64::MAX),
        };
        let (detail, name) = (long("d", 5000), long("n", limits::DEPLOYMENT_NAME_BYTES_MAX));
        let digest = ModuleDigest([0xff; 32]);
        let letter = DeadLetter {
            version: u32::MAX,
            attempts: u32::MAX,
            first_failed_ts: Timestamp(u64::MAX),
            last_failed_ts: Timestamp(u64::MAX),
            source_append_ts: Some(Timestamp(u64::MAX)),
            ..DeadLetter::new(FailureReason::InvalidOutput, &detail, source, &name, 1, digest)
        };
        let record = Record::default();
        let mut buried = letter.bury(&record);
        for _ in 0..20 {
            buried = DeadLetter::edited(&letter.bury(&buried), Bytes::new(), Offset(u64::MAX));
        }
        let bytes = |record: &Record| crate::BatchBuilder::encoded_bytes(record);
        let added = bytes(&buried) - bytes(&record);
        assert!(added <= limits::BROKER_HEADER_BYTES_MAX, "{added} bytes");
        assert!(buried.headers.len() <= limits::BROKER_HEADERS_MAX);
    }

    #[test]
    fn a_record_with_all_the_headers_it_may_have_can_be_buried() {
        let headers = vec![Header::new("h", ""); limits::PRODUCED_HEADERS_MAX];
        let record = Record { headers, ..Record::default() };
        let batch = |record: &Record| crate::RecordBatch::of([record]).unwrap().plain().unwrap();
        batch(&record).check_produced(1 << 20).unwrap();
        let mut buried = record.clone();
        for _ in 0..20 {
            buried = letter(FailureReason::Trap).bury(&buried);
            crate::RecordBatch::of([&buried]).unwrap();
        }
        let headers = vec![Header::new("h", ""); limits::PRODUCED_HEADERS_MAX + 1];
        let too_many = Record { headers, ..record };
        assert!(batch(&too_many).check_produced(1 << 20).is_err());
    }

    #[test]
    fn a_long_detail_is_cut_at_a_character() {
        let source = Source { topic: "t".into(), partition: 0, offset: Offset(0) };
        let detail = "é".repeat(1000);
        let letter =
            DeadLetter::new(FailureReason::Error, &detail, source, "d", 1, ModuleDigest([0; 32]));
        assert_eq!(letter.detail.len(), 1024);
    }
}
