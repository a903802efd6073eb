//! Inputs on their way, and what their producers are told: a file of a line for each, which another program
//! compares with what came of them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use logmill_client::{Producer, Record, Ticket};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::{Verb, value};

/// Inputs of one producer that may be without an answer.
const IN_FLIGHT: usize = 4096;

/// What a producer was told of an input: where it lies, or nothing, when the answer was cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldInput {
    /// What makes it one of a kind.
    pub id: u64,
    /// What it asks for.
    pub verb: Verb,
    /// Where it was sent.
    pub topic: String,
    /// Where it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Its place there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

impl ToldInput {
    /// Its place, when it was acknowledged.
    #[must_use]
    pub fn place(&self) -> Option<(u32, u64)> {
        self.partition.zip(self.offset)
    }
}

/// The file. Producers share it.
#[derive(Debug)]
pub struct Told {
    file: NamedTempFile,
    lines: Mutex<BufWriter<File>>,
}

impl Told {
    /// An empty one, which goes with the last that has it.
    ///
    /// # Panics
    /// When it can't be made.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let file = NamedTempFile::new().unwrap();
        let lines = Mutex::new(BufWriter::new(file.reopen().unwrap()));
        Arc::new(Self { file, lines })
    }

    /// Writes down what was told.
    ///
    /// # Panics
    /// When it can't.
    pub fn add(&self, told: &ToldInput) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::to_writer(&mut *lines, told).unwrap();
        lines.write_all(b"\n").unwrap();
    }

    /// Where it lies, with all that was written down.
    ///
    /// # Panics
    /// When it can't be written.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).flush().unwrap();
        self.file.path()
    }
}

/// Sends inputs to one topic, and writes down what it is told of them.
#[derive(Debug)]
pub struct Sender {
    producer: Producer,
    told: Arc<Told>,
    waiting: VecDeque<(u64, Verb, Ticket)>,
}

impl Sender {
    /// By this producer.
    #[must_use]
    pub fn new(producer: Producer, told: &Arc<Told>) -> Self {
        Self { producer, told: Arc::clone(told), waiting: VecDeque::new() }
    }

    /// Sends an input, when there are not too many without an answer; false when it can't any more.
    pub async fn send(&mut self, id: u64, key: Option<&str>, verb: Verb) -> bool {
        let (key, value) = (key.map(|it| it.to_owned().into()), Some(value(id, verb).into()));
        let record = Record { key, value, ..Record::default() };
        let Ok(ticket) = self.producer.send(record).await else { return false };
        self.waiting.push_back((id, verb, ticket));
        if self.waiting.len() > IN_FLIGHT {
            self.settle().await;
        }
        true
    }

    /// Waits for the answers to all that was sent.
    pub async fn finish(mut self) {
        while !self.waiting.is_empty() {
            self.settle().await;
        }
    }

    async fn settle(&mut self) {
        let Some((id, verb, ticket)) = self.waiting.pop_front() else { return };
        let (partition, offset) = match ticket.wait().await {
            Ok(ack) => (Some(ack.partition), Some(ack.offset.0)),
            // It was not sent.
            Err(error) if error.has_no_side_effects() => return,
            Err(_) => (None, None),
        };
        let topic = self.producer.topic().to_string();
        self.told.add(&ToldInput { id, verb, topic, partition, offset });
    }
}
