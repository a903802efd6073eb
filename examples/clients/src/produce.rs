//! Produces a hundred orders and waits until all of them are on the broker's disk.
//!
//! ```text
//! $ cargo run --release --bin example-produce -- orders
//! 100 orders are durable in orders; the last one is at partition 0, offset 99
//! ```
//!
//! Sending is pipelined: `send` returns when the record has its place in a batch, and its ticket
//! resolves when the batch is durable. A ticket that fails says whether anything happened, and
//! whether sending again may help; the client never sends twice by itself.
#![expect(clippy::print_stdout, reason = "an example prints what it did")]

use anyhow::Context;
use logmill_client::{Client, ConnectOptions, Header, Record, TopicName};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let topic = std::env::args().nth(1).context("say which topic: example-produce TOPIC")?;
    let topic: TopicName = topic.parse()?;
    let client = Client::connect(ConnectOptions::discover(None)?).await?;
    let producer = client.producer(topic.clone()).await?;

    let mut tickets = Vec::new();
    for number in 0..100 {
        let order = Record {
            // Orders of one customer stay in order: they have the same key.
            key: Some(format!("customer-{}", number % 7).into()),
            value: Some(format!(r#"{{"order":{number},"amount":{}}}"#, number * 3).into()),
            headers: vec![Header::new("content-type", "application/json")],
            ..Record::default()
        };
        tickets.push(producer.send(order).await?);
    }
    let mut last = None;
    for ticket in tickets {
        last = Some(ticket.wait().await?);
    }

    let last = last.context("a hundred were sent")?;
    let (partition, offset) = (last.partition, last.offset);
    println!(
        "100 orders are durable in {topic}; the last one is at partition {partition}, offset {offset}"
    );
    client.close().await;
    Ok(())
}
