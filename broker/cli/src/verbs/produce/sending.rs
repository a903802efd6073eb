//! Sends records as they are read, with many unanswered at once, and counts what became durable.

use std::collections::VecDeque;

use logmill_client::{Ack, Error, Producer, Ticket};
use logmill_model::Record;

use crate::Failure;
use crate::error::told;
use crate::input::{Line, Records};

/// Records without an answer; the producer bounds their bytes.
const UNANSWERED_MAX: usize = 16 * 1024;

/// What became durable.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) records: u64,
    /// Of these, those that the topic had already, by their idempotency keys.
    pub(crate) duplicates: u64,
    /// Of their keys, values and headers.
    pub(crate) bytes: u64,
}

/// Produces all records, and returns when they are durable. Stops at the first line that can't be
/// read or is not taken, once all before it has its answer; the failure says how many there were.
pub(crate) async fn send_all(
    producer: &Producer,
    partition: Option<u32>,
    mut records: Records,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Sent, Failure> {
    let mut sending = Sending {
        producer,
        partition,
        unanswered: VecDeque::new(),
        sent: Sent::default(),
        stop: None,
    };
    while sending.stop.is_none() {
        tokio::select! {
            answer = sending.next_answer(), if !sending.unanswered.is_empty() => {
                sending.settle(answer);
                progress(sending.sent.records);
            }
            group = records.next(), if sending.unanswered.len() < UNANSWERED_MAX => match group {
                Some(Ok(lines)) => sending.send(lines).await,
                Some(Err(stop)) => sending.stop = Some(stop.to_string()),
                None => break,
            },
        }
    }
    while !sending.unanswered.is_empty() {
        let answer = sending.next_answer().await;
        sending.settle(answer);
        progress(sending.sent.records);
    }
    match sending.stop {
        None => Ok(sending.sent),
        Some(why) => {
            let before = match sending.sent.records {
                1 => "1 record was".to_owned(),
                records => format!("{records} records were"),
            };
            Err(anyhow::anyhow!("{why}; {before} produced before it").into())
        }
    }
}

fn content_bytes(record: &Record) -> u64 {
    let parts = [&record.key, &record.value];
    let headers = record.headers.iter().map(|header| header.name.len() + header.value.len());
    let bytes = parts.into_iter().flatten().map(|part| part.len()).chain(headers).sum::<usize>();
    bytes as u64
}

struct Sending<'a> {
    producer: &'a Producer,
    partition: Option<u32>,
    /// In the order they were sent.
    unanswered: VecDeque<Unanswered>,
    sent: Sent,
    /// Why nothing more is sent: the first reason.
    stop: Option<String>,
}

struct Unanswered {
    line: u64,
    bytes: u64,
    ticket: Ticket,
}

impl Sending<'_> {
    async fn send(&mut self, lines: Vec<Line>) {
        for Line { number, record } in lines {
            let bytes = content_bytes(&record);
            match self.ticket(record).await {
                Ok(ticket) => {
                    self.unanswered.push_back(Unanswered { line: number, bytes, ticket });
                }
                Err(error) => return self.fail(number, &error),
            }
        }
    }

    async fn ticket(&self, record: Record) -> Result<Ticket, Error> {
        match self.partition {
            Some(partition) => self.producer.send_to(partition, record).await,
            None => self.producer.send(record).await,
        }
    }

    /// The answer to the oldest record without one, of which there must be one. Nothing is lost
    /// when this is given up.
    async fn next_answer(&self) -> Result<Ack, Error> {
        let oldest = self.unanswered.front().expect("asked only while there is one");
        oldest.ticket.wait().await
    }

    fn settle(&mut self, answer: Result<Ack, Error>) {
        let Some(Unanswered { line, bytes, .. }) = self.unanswered.pop_front() else { return };
        match answer {
            Ok(ack) => {
                self.sent.records += 1;
                self.sent.duplicates += u64::from(ack.duplicate);
                self.sent.bytes += bytes;
            }
            Err(error) => self.fail(line, &error),
        }
    }

    fn fail(&mut self, line: u64, error: &Error) {
        self.stop.get_or_insert_with(|| format!("line {line}: {}", told(error)));
    }
}
