//! All that a broker has, as text that stays the same from version to version: what a data directory
//! is compared by.
//!
//! What a broker may do by itself is left out: bytes, uptime, and of a compacted topic all but the
//! last value of each key.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use logmill_client::{
    Client, ConsumedRecord, DeploymentDescription, DeploymentStatus, Error, ErrorCode,
    LaneDescription, Offset, Position, SubscribeOptions, TopicDescription,
};

use crate::{until, within};

/// Longer values are told by their length and checksum.
const VALUE_BYTES_MAX: usize = 100;

/// What this broker has, once its modules are compiled.
///
/// # Panics
/// When it does not tell.
pub async fn listing(client: &Client) -> String {
    let (admin, mut text) = (client.admin(), String::new());
    for topic in admin.topics().await.unwrap() {
        write_topic(client, &topic, &mut text).await;
    }
    let deployments = until("the modules are compiled", async || {
        let all = admin.deployments().await.unwrap();
        all.iter().all(|it| it.state != DeploymentStatus::Compiling).then_some(all)
    })
    .await;
    for deployment in deployments {
        write_deployment(&deployment, &mut text);
    }
    for place in admin.status().await.unwrap().corrupt {
        for lost in place.lost {
            let (topic, partition) = (lost.topic, lost.partition);
            let _ = writeln!(text, "corrupt: {topic}/{partition} {} to {}", lost.from, lost.to);
        }
    }
    text
}

async fn write_topic(client: &Client, topic: &TopicDescription, text: &mut String) {
    let policy = topic.policy;
    let _ = writeln!(text, "topic {} created {}", topic.name, topic.created_ts);
    let (time, bytes) = (policy.retention_time_ms, policy.retention_bytes);
    let _ = writeln!(text, "  retention time {time:?}, bytes {bytes:?}");
    let (compact, on_full) = (policy.compact, policy.on_full.as_str());
    let _ = writeln!(text, "  compact {compact}, on full {on_full}");
    for it in &topic.partitions {
        let _ = writeln!(text, "  partition {} from {} to {}", it.partition, it.start, it.end);
        let read = read(client, topic, it.partition, (it.start, it.end));
        let mut read = within("a partition is read", read).await;
        if policy.compact {
            read = last_values(read);
        }
        for it in read {
            match it {
                Read::Record(it) => write_record(&it, text),
                Read::Corrupt(from, to) => _ = writeln!(text, "    {from} to {to}: corrupt"),
            }
        }
    }
}

enum Read {
    Record(ConsumedRecord),
    Corrupt(Offset, Offset),
}

async fn read(
    client: &Client,
    topic: &TopicDescription,
    partition: u32,
    (mut next, end): (Offset, Offset),
) -> Vec<Read> {
    let mut read = Vec::new();
    while next < end {
        let options = SubscribeOptions::new(topic.name.clone()).partition(partition);
        let from = options.from(Position::Offset(next)).until_end();
        let mut subscriber = client.subscribe(from).await.unwrap();
        let broken = loop {
            match subscriber.next().await {
                Some(Ok(record)) => {
                    next = Offset(record.offset.0 + 1);
                    read.push(Read::Record(record));
                }
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        let Some(error) = broken else { break };
        let to = corrupt_until(client, topic, partition, next, &error).await;
        read.push(Read::Corrupt(next, to));
        next = to;
    }
    read
}

/// Where the corrupt range ends in which this offset lies.
async fn corrupt_until(
    client: &Client,
    topic: &TopicDescription,
    partition: u32,
    offset: Offset,
    error: &Error,
) -> Offset {
    assert_eq!(error.code(), Some(ErrorCode::Corrupt), "{error}");
    let corrupt = client.admin().status().await.unwrap().corrupt;
    let mut lost = corrupt.iter().flat_map(|place| &place.lost);
    let found = lost.find(|it| {
        let is_of_partition = it.topic == topic.name.as_str() && it.partition == partition;
        is_of_partition && it.from <= offset && offset < it.to
    });
    found.unwrap_or_else(|| panic!("{corrupt:?} does not name what says {error}")).to
}

/// What a compacted topic says in the end: the last value of each key, without what was deleted.
fn last_values(read: Vec<Read>) -> Vec<Read> {
    let mut last = BTreeMap::new();
    let mut rest = Vec::new();
    for it in read {
        match it {
            Read::Record(it) if it.record.value.is_some() => {
                last.insert(it.record.key.clone(), it);
            }
            Read::Record(it) => _ = last.remove(&it.record.key),
            Read::Corrupt(..) => rest.push(it),
        }
    }
    rest.extend(last.into_values().map(Read::Record));
    rest
}

fn write_record(it: &ConsumedRecord, text: &mut String) {
    let record = &it.record;
    let _ = write!(text, "    {} at {} made {}", it.offset, it.append_ts, record.create_ts);
    let _ = write!(text, ": {} = {}", shown(record.key.as_ref()), shown(record.value.as_ref()));
    for header in &record.headers {
        let _ = write!(text, " [{} = {}]", header.name, shown(Some(&header.value)));
    }
    text.push('\n');
}

fn shown(bytes: Option<&Bytes>) -> String {
    match bytes {
        None => "none".to_owned(),
        Some(bytes) if bytes.len() > VALUE_BYTES_MAX => {
            format!("{} bytes, CRC-32C {:08x}", bytes.len(), crc32c::crc32c(bytes))
        }
        Some(bytes) => format!("\"{}\"", bytes.escape_ascii()),
    }
}

fn write_deployment(it: &DeploymentDescription, text: &mut String) {
    let (name, world, version) = (&it.name, it.world, it.active_version);
    let _ = writeln!(text, "deployment {name}, {world}, version {version}");
    let reason = it.reason.as_deref().unwrap_or("none");
    let _ = writeln!(text, "  {}, reason {reason}", it.state.as_str());
    let _ = writeln!(text, "  digest {}", it.digest);
    let sources: Vec<_> = it.sources.iter().map(ToString::to_string).collect();
    let outputs = it.settings.out.iter().map(|it| format!("{}={}", it.name(), it.topic));
    let (sources, outputs) = (sources.join(" "), outputs.collect::<Vec<_>>().join(" "));
    let _ = writeln!(text, "  from {sources}; to {outputs}");
    let _ = writeln!(text, "  config {:?}", it.settings.config);
    let (attempts, backoff) = (it.settings.max_attempts, &it.settings.backoff);
    let _ = writeln!(text, "  attempts {attempts}, backoff {backoff}, dlq {}", it.settings.dlq);
    let _ = writeln!(text, "  begun at {}, unrouted {:?}", it.settings.from, it.settings.unrouted);
    let _ =
        writeln!(text, "  memory {}, deadline {}", it.limits.memory_bytes, it.limits.deadline_ms);
    for lane in &it.lanes {
        write_lane(lane, text);
    }
    let it = it.counts;
    let _ = writeln!(
        text,
        "  done {}, outputs {}, retried {}, dead-lettered {}, dropped {}, errors {}, trapped {}, \
         timed out {}, lost {}",
        it.done,
        it.outputs,
        it.retried,
        it.dead_lettered,
        it.dropped,
        it.errors,
        it.trapped,
        it.timed_out,
        it.lost
    );
}

fn write_lane(lane: &LaneDescription, text: &mut String) {
    let (topic, partition, cursor, lag) = (&lane.topic, lane.partition, lane.cursor, lane.lag);
    let state = lane.state.as_str();
    let _ = write!(text, "  lane {topic}/{partition} at {cursor}, lag {lag}, {state}");
    if let Some(lost) = lane.lost {
        let _ = write!(text, ", lost {} to {}", lost.from, lost.to);
    }
    text.push('\n');
}
