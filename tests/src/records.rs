//! Records, written and read back.

use logmill_client::{Client, ConsumedRecord, Header, Record, SubscribeOptions};

use crate::within;

/// A record of this key and value.
#[must_use]
pub fn record(key: &str, value: impl Into<Vec<u8>>) -> Record {
    Record {
        key: Some(key.to_owned().into()),
        value: Some(value.into().into()),
        headers: Vec::<Header>::new(),
        ..Record::default()
    }
}

/// The value of a record as text.
///
/// # Panics
/// When it has none, or not one of text.
#[must_use]
pub fn text(record: &Record) -> &str {
    std::str::from_utf8(record.value.as_ref().expect("a value")).unwrap()
}

/// All that a topic holds now, partition by partition in the order of offsets.
///
/// # Panics
/// When it can't be read.
pub async fn read_all(client: &Client, topic: &str) -> Vec<ConsumedRecord> {
    let options = SubscribeOptions::new(topic.parse().unwrap()).until_end();
    let reading = async {
        let mut subscriber = client.subscribe(options).await.unwrap();
        let mut records = Vec::new();
        while let Some(record) = subscriber.next().await {
            records.push(record.unwrap());
        }
        records
    };
    let mut records = within("all records of the topic", reading).await;
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}
