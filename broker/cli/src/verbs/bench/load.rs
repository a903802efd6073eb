//! Producers that keep a broker busy, and how long each record took from its turn to its ack.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::ProgressBar;
use logmill_client::{Client, ConnectOptions, Producer, ProducerOptions, Ticket};
use logmill_model::limits::PRODUCER_BATCHES_MAX;
use logmill_model::{Compression, TopicName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::latency::Latencies;
use super::pace::{Pace, beat};
use super::payload::Payload;
use super::plan::Plan;
use crate::Failure;

/// Connected producers that have sent nothing yet.
pub(super) struct Load {
    plan: Plan,
    payload: Arc<Payload>,
    connections: Vec<(Client, Producer)>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(super) struct Done {
    /// Of records.
    pub(super) latencies: Latencies,
    /// From the first send to the last ack.
    pub(super) elapsed: Duration,
}

/// A batch on its way. What is in its slot is given back with its answer.
struct Sent {
    /// When it was due, or else when it was sent.
    since: Instant,
    records: u32,
    ticket: Ticket,
    _slot: OwnedSemaphorePermit,
}

/// What one connection sends.
struct Lane {
    plan: Plan,
    payload: Arc<Payload>,
    producer: Producer,
    connection: u32,
    started: Instant,
    beat: Option<(Pace, watch::Receiver<u64>)>,
}

impl Load {
    /// Connects. Each connection has a partition of its own.
    pub(super) async fn connect(
        plan: Plan,
        payload: Arc<Payload>,
        options: &ConnectOptions,
        topic: &TopicName,
    ) -> Result<Self, Failure> {
        let bytes = Payload::batch_bytes(plan.size, plan.batch as usize);
        let bounds = ProducerOptions {
            in_flight: plan.in_flight as usize,
            buffer_bytes: plan.in_flight as usize * bytes,
            // A connection has one partition: with more in flight than a broker remembers, batches
            // can't be sent again, and have no sequences.
            idempotent: plan.in_flight as usize <= PRODUCER_BATCHES_MAX,
            ..ProducerOptions::default()
        };
        let mut connections = Vec::with_capacity(plan.connections as usize);
        for _ in 0..plan.connections {
            let client = Client::connect(options.clone()).await?;
            let producer = client.producer_with(topic.clone(), bounds.clone()).await?;
            connections.push((client, producer));
        }
        Ok(Self { plan, payload, connections })
    }

    /// Sends everything, and returns with the last ack or the first failure.
    pub(super) async fn run(self, progress: &ProgressBar) -> Result<Done, Failure> {
        let Self { plan, payload, connections } = self;
        let (due, told) = watch::channel(0);
        let pace = plan.rate.map(|rate| Pace::new(rate, plan.batch));
        let started = Instant::now();
        let mut receiving = JoinSet::new();
        let mut sending = JoinSet::new();
        for ((_, producer), connection) in connections.iter().zip(0..) {
            let (producer, payload) = (producer.clone(), Arc::clone(&payload));
            let beat = pace.map(|pace| (pace, told.clone()));
            let lane = Lane { plan, payload, producer, connection, started, beat };
            let (sent, answers) = mpsc::channel(plan.in_flight as usize);
            sending.spawn(lane.send(sent));
            receiving.spawn(receive(answers, progress.clone()));
        }
        drop(told);
        if let Some(pace) = pace {
            let batches = plan.batches();
            std::thread::Builder::new()
                .name("pace".to_owned())
                .spawn(move || beat(pace, batches, started, &due))
                .context("can't start a thread")?;
        }
        let mut latencies = Latencies::new();
        while let Some(received) = receiving.join_next().await {
            latencies.add(&received.map_err(anyhow::Error::from)??);
        }
        let elapsed = started.elapsed();
        while let Some(sent) = sending.join_next().await {
            sent.map_err(anyhow::Error::from)??;
        }
        for (client, producer) in connections {
            drop(producer);
            client.close().await;
        }
        Ok(Done { latencies, elapsed })
    }
}

impl Lane {
    async fn send(mut self, sent: mpsc::Sender<Sent>) -> Result<(), Failure> {
        let slots = Arc::new(Semaphore::new(self.plan.in_flight as usize));
        let partition = self.connection % self.producer.partitions();
        for number in self.plan.batches_of(self.connection) {
            let records = self.plan.records_of(number);
            let first = number * u64::from(self.plan.batch);
            let now = logmill_engine::clock::now();
            let batch = self.payload.batch(first, records, now).map_err(anyhow::Error::from)?;
            let batch = match self.plan.compression {
                Compression::None => batch,
                some => tokio::task::block_in_place(|| batch.compress(some)),
            };
            let due = self.turn(number).await;
            let slot = Arc::clone(&slots).acquire_owned().await.context("no more slots")?;
            let since = due.unwrap_or_else(Instant::now);
            let ticket = self.producer.send_batch(partition, batch).await?;
            if sent.send(Sent { since, records, ticket, _slot: slot }).await.is_err() {
                // The receiving side has failed, and tells why.
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits until a batch is due, and tells when that was; without a rate it always is.
    async fn turn(&mut self, number: u64) -> Option<Instant> {
        let (pace, due) = self.beat.as_mut()?;
        // The beat ends when all are due.
        let _ = due.wait_for(|due| *due > number).await;
        Some(self.started + pace.due(number))
    }
}

/// Takes the answers of one connection, which come in the order of its batches.
async fn receive(
    mut answers: mpsc::Receiver<Sent>,
    progress: ProgressBar,
) -> Result<Latencies, Failure> {
    let mut latencies = Latencies::new();
    while let Some(sent) = answers.recv().await {
        sent.ticket.wait().await?;
        latencies.record(sent.since.elapsed(), sent.records.into());
        progress.inc(sent.records.into());
    }
    Ok(latencies)
}
