//! The provenance of a dead letter, and how it lies in the record's headers.
//!
//! Key, value, headers and create time of a dead letter are the record's own, byte for byte;
//! what is added are headers whose names begin with `dlq-`, which no client may send.

use crate::{FailureReason, Header, ModuleDigest, Offset, Record, Timestamp, limits};

const REASON: &str = "dlq-reason";
const DETAIL: &str = "dlq-detail";
const SOURCE_TOPIC: &str = "dlq-source-topic";
const SOURCE_PARTITION: &str = "dlq-source-partition";
const SOURCE_OFFSET: &str = "dlq-source-offset";
const DEPLOYMENT: &str = "dlq-deployment";
const VERSION: &str = "dlq-version";
const DIGEST: &str = "dlq-digest";
const ATTEMPTS: &str = "dlq-attempts";
const FIRST_FAILED: &str = "dlq-first-failed-ts";
const LAST_FAILED: &str = "dlq-last-failed-ts";
const HISTORY: &str = "dlq-history";
const HISTORY_MAX: usize = 16;
/// The headers that a first death adds.
const FIRST_DEATH_HEADERS: usize = 11;

const _: () = assert!(FIRST_DEATH_HEADERS + HISTORY_MAX <= limits::BROKER_HEADERS_MAX);

/// Where a dead letter was read.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Earlier and later deaths, as text, the oldest first.
    pub history: Vec<String>,
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
            history: Vec::new(),
        }
    }

    /// `record` with this provenance. A record that is a dead letter already keeps the headers of
    /// its first death, and this one is added to its history, at most 16 of them.
    #[must_use]
    pub fn bury(&self, record: &Record) -> Record {
        let mut buried = record.clone();
        if record.header(REASON).is_some() {
            let deaths = record.headers.iter().filter(|header| header.name == HISTORY).count();
            if deaths < HISTORY_MAX {
                buried.headers.push(Header::new(HISTORY, self.summary()));
            }
            return buried;
        }
        let mut add = |name, value: String| buried.headers.push(Header::new(name, value));
        add(REASON, self.reason.clone());
        add(DETAIL, self.detail.clone());
        add(SOURCE_TOPIC, self.source.topic.clone());
        add(SOURCE_PARTITION, self.source.partition.to_string());
        add(SOURCE_OFFSET, self.source.offset.to_string());
        add(DEPLOYMENT, self.deployment.clone());
        add(VERSION, self.version.to_string());
        add(DIGEST, self.digest.clone());
        add(ATTEMPTS, self.attempts.to_string());
        add(FIRST_FAILED, self.first_failed_ts.to_string());
        add(LAST_FAILED, self.last_failed_ts.to_string());
        buried
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
    }

    #[test]
    fn a_second_death_is_history_and_leaves_the_first_alone() {
        let mut buried = letter(FailureReason::Trap).bury(&Record::default());
        for _ in 0..20 {
            buried = letter(FailureReason::Error).bury(&buried);
        }
        let read = DeadLetter::of(&buried).unwrap();
        assert_eq!(read.reason, "trap");
        assert_eq!(read.history.len(), 16);
        assert_eq!(read.history[0], "9 error of triage v2 at t/3@77 after 4");
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
