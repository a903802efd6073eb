//! Reads a topic from its first record to its durable end, and prints key and value of each.
//!
//! ```text
//! $ cargo run --release --bin example-consume -- orders
//! 0/0 customer-0 {"order":0,"amount":0}
//! 0/1 customer-1 {"order":1,"amount":3}
//! …
//! ```
//!
//! The broker sends no more than the subscriber's credit allows; a slow reader costs it nothing.
#![expect(clippy::print_stdout, reason = "an example prints what it did")]

use anyhow::Context;
use logmill_client::{Client, ConnectOptions, SubscribeOptions};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let topic = std::env::args().nth(1).context("say which topic: example-consume TOPIC")?;
    let client = Client::connect(ConnectOptions::discover(None)?).await?;
    // Without `until_end` it would wait for further records.
    let options = SubscribeOptions::new(topic.parse()?).until_end();
    let mut records = client.subscribe(options).await?;

    while let Some(consumed) = records.next().await {
        let consumed = consumed?;
        let text = |bytes: Option<&[u8]>| {
            bytes.map_or_else(|| "-".into(), |bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        let (key, value) = (&consumed.record.key, &consumed.record.value);
        let (key, value) = (text(key.as_deref()), text(value.as_deref()));
        println!("{}/{} {key} {value}", consumed.partition, consumed.offset);
    }
    client.close().await;
    Ok(())
}
