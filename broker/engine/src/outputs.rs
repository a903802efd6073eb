//! What modules want produced: which topic an output means, and the batches that outputs gather
//! into. Pure.

use std::collections::HashMap;

use logmill_model::{
    Append, BatchBuilder, FailureReason, Header, Output, OutputGrant, PartitionId, Record,
    Timestamp, TopicName, limits, partition_of_key,
};
use logmill_wasm::Failure;

use crate::catalog::Catalog;

/// The topics that a deployment may write to, by the names its module knows.
#[derive(Debug, Clone)]
pub(crate) struct Grants {
    by_name: HashMap<String, TopicName>,
    only: Option<TopicName>,
}

/// A record and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) topic: TopicName,
    pub(crate) record: Record,
    /// How many modules it has come through.
    pub(crate) hops: u8,
}

impl Grants {
    pub(crate) fn new(grants: &[OutputGrant]) -> Self {
        Self {
            by_name: grants.iter().map(|it| (it.name().to_owned(), it.topic.clone())).collect(),
            only: if let [grant] = grants { Some(grant.topic.clone()) } else { None },
        }
    }

    fn resolve(&self, name: Option<&str>) -> Result<&TopicName, Failure> {
        let topic = match name {
            Some(name) => self.by_name.get(name),
            None => self.only.as_ref(),
        };
        topic.ok_or_else(|| {
            let mut granted: Vec<_> = self.by_name.keys().map(String::as_str).collect();
            granted.sort_unstable();
            let granted = granted.join(", ");
            kept(
                FailureReason::NotGranted,
                match name {
                    Some(name) => format!("output to {name:?}; granted are: {granted}"),
                    None => format!(
                        "output without a topic needs exactly one --out; granted are: {granted}"
                    ),
                },
            )
        })
    }

    /// The records that outputs stand for, or why they break a rule.
    pub(crate) fn writes(
        &self,
        outputs: &[Output],
        hops: u8,
        now: Timestamp,
    ) -> Result<Vec<Write>, Failure> {
        outputs
            .iter()
            .enumerate()
            .map(|(index, output)| {
                let topic = self.resolve(output.topic.as_deref())?.clone();
                let record = Record {
                    key: output.key.clone(),
                    value: output.value.clone(),
                    headers: output.headers.clone(),
                    create_ts: now,
                };
                check(index, &record)?;
                Ok(Write { topic, record, hops })
            })
            .collect()
    }
}

fn check(index: usize, record: &Record) -> Result<(), Failure> {
    let invalid =
        |what: String| kept(FailureReason::InvalidOutput, format!("output {index} {what}"));
    let bytes = BatchBuilder::encoded_bytes(record);
    let max = limits::RECORD_BYTES_MAX + limits::BROKER_HEADER_BYTES_MAX;
    if bytes > max {
        return Err(invalid(format!("has {bytes} bytes, at most {max} are allowed")));
    }
    if record.headers.len() > limits::PRODUCED_HEADERS_MAX {
        return Err(invalid(format!("has more than {} headers", limits::PRODUCED_HEADERS_MAX)));
    }
    for Header { name, .. } in &record.headers {
        if name.len() > usize::from(u16::MAX) {
            return Err(invalid("has a header name longer than 65,535 bytes".to_owned()));
        }
        if limits::RESERVED_HEADER_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            return Err(invalid(format!("has the header {name:?}, which is the broker's own")));
        }
    }
    Ok(())
}

/// A failure that is the outputs' fault: the instance lives on.
fn kept(reason: FailureReason, detail: String) -> Failure {
    Failure { reason, detail, instance_lost: false }
}

/// Batches in the making, one or more for each partition that is written to.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    batches: Vec<(PartitionId, u8, BatchBuilder)>,
    /// The newest batch of each partition: only that one grows, so that order is kept.
    open: HashMap<PartitionId, usize>,
    bytes: usize,
}

/// A topic that is written to is not there (any more).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicMissing(pub(crate) TopicName);

impl Gathered {
    /// Adds a record, and tells where it goes. Its partition is by key; without one it is `keyless`, in the topic's range,
    /// so that the same input writes to the same place whenever it is handled.
    pub(crate) fn add(
        &mut self,
        catalog: &Catalog,
        write: &Write,
        keyless: u64,
    ) -> Result<PartitionId, TopicMissing> {
        let topic = catalog.topic(&write.topic).ok_or_else(|| TopicMissing(write.topic.clone()))?;
        let index = match &write.record.key {
            Some(key) => partition_of_key(key, topic.partitions),
            None => u32::try_from(keyless % u64::from(topic.partitions.max(1)))
                .expect("less than a u32"),
        };
        let partition = PartitionId::new(topic.id, index);
        self.bytes += BatchBuilder::encoded_bytes(&write.record);
        if let Some((_, hops, newest)) = self.open.get(&partition).map(|at| &mut self.batches[*at])
            && *hops == write.hops
            && newest.push(&write.record).is_ok()
        {
            return Ok(partition);
        }
        let mut builder = BatchBuilder::default();
        builder.push(&write.record).expect("a checked record fits an empty batch");
        self.open.insert(partition, self.batches.len());
        self.batches.push((partition, write.hops, builder));
        Ok(partition)
    }

    /// The bytes of the records so far.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The finished appends, in the order in which their first records came.
    pub(crate) fn into_appends(self) -> impl Iterator<Item = Append> {
        self.batches.into_iter().map(|(partition, hops, builder)| Append {
            hops,
            ..Append::new(partition, builder.seal())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logmill_model::TopicId;
    use logmill_model::internal::{CatalogRecord, TopicRecord};

    fn grant(alias: Option<&str>, topic: &str) -> OutputGrant {
        OutputGrant { alias: alias.map(str::to_owned), topic: topic.parse().unwrap() }
    }

    fn output(topic: Option<&str>) -> Output {
        Output { topic: topic.map(str::to_owned), ..Output::default() }
    }

    fn reason(grants: &Grants, output: Output) -> Option<FailureReason> {
        grants.writes(&[output], 1, Timestamp(0)).err().map(|failure| failure.reason)
    }

    #[test]
    fn an_output_goes_only_where_it_is_granted() {
        let grants = Grants::new(&[grant(Some("a"), "topic.a"), grant(None, "topic.b")]);
        let writes = grants.writes(&[output(Some("a")), output(Some("topic.b"))], 1, Timestamp(0));
        let topics: Vec<_> = writes.unwrap().into_iter().map(|w| w.topic.to_string()).collect();
        assert_eq!(topics, ["topic.a", "topic.b"]);
        for not_granted in [Some("topic.a"), Some("x"), None] {
            assert_eq!(reason(&grants, output(not_granted)), Some(FailureReason::NotGranted));
        }
        let one = Grants::new(&[grant(Some("a"), "topic.a")]);
        assert_eq!(reason(&one, output(None)), None);
    }

    #[test]
    fn an_output_that_breaks_a_rule_of_records_is_invalid() {
        let grants = Grants::new(&[grant(None, "t")]);
        let reserved =
            Output { headers: vec![Header::new("dlq-reason", "x")], ..Output::default() };
        assert_eq!(reason(&grants, reserved), Some(FailureReason::InvalidOutput));
        let large = Output { value: Some(vec![0; 2 << 20].into()), ..Output::default() };
        assert_eq!(reason(&grants, large), Some(FailureReason::InvalidOutput));
        let many = Output { headers: vec![Header::new("h", ""); 1025], ..Output::default() };
        assert_eq!(reason(&grants, many), Some(FailureReason::InvalidOutput));
    }

    #[test]
    fn records_of_other_hops_are_a_batch_of_their_own_in_the_order_they_came() {
        let mut catalog = Catalog::default();
        let (created_ts, policy) = Default::default();
        let topic = TopicRecord { id: TopicId(16), partitions: 1, created_ts, policy };
        let name: TopicName = "t".parse().unwrap();
        catalog.apply(&CatalogRecord::Topic(name.clone(), Some(topic)));
        let mut gathered = Gathered::default();
        for (value, hops) in [("a", 1), ("b", 1), ("c", 2), ("d", 1)] {
            let record = Record { value: Some(value.into()), ..Record::default() };
            gathered.add(&catalog, &Write { topic: name.clone(), record, hops }, 0).unwrap();
        }
        let batches: Vec<_> =
            gathered.into_appends().map(|it| (it.hops, it.batch.record_count())).collect();
        assert_eq!(batches, [(1, 2), (2, 1), (1, 1)]);
    }

    #[test]
    fn a_full_batch_is_followed_by_another_in_the_same_partition() {
        let mut catalog = Catalog::default();
        let (created_ts, policy) = Default::default();
        let topic = TopicRecord { id: TopicId(16), partitions: 1, created_ts, policy };
        let name: TopicName = "t".parse().unwrap();
        catalog.apply(&CatalogRecord::Topic(name.clone(), Some(topic)));
        let record = Record { value: Some(vec![0; 900_000].into()), ..Record::default() };
        let write = Write { topic: name, record, hops: 1 };
        let mut gathered = Gathered::default();
        for _ in 0..5 {
            gathered.add(&catalog, &write, 0).unwrap();
        }
        let counts: Vec<_> =
            gathered.into_appends().map(|append| append.batch.record_count()).collect();
        assert_eq!(counts, [2, 2, 1]);
        let missing = Write { topic: "gone".parse().unwrap(), ..write };
        assert!(Gathered::default().add(&catalog, &missing, 0).is_err());
    }
}
