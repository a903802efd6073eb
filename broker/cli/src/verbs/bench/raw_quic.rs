//! What the network alone does: the same chunks over QUIC with the settings of broker and client,
//! on loopback, both ends in this process, and nothing done with them at the other end.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use logmill_client::{ConnectOptions, RawConnection, Trust};
use logmill_server::{RawEndpoint, Settings};
use quinn::{RecvStream, SendStream};
use tokio::task::JoinSet;

use super::latency::{Latencies, Tail};
use crate::Failure;

/// How long the chunks flow.
const FLOW: Duration = Duration::from_millis(1000);
/// How long there are echoes, and how many at most.
const ECHO: Duration = Duration::from_millis(500);
const ECHOES_MAX: u32 = 2000;
/// The answer to a chunk: as large as an ack is, about.
const ANSWER: [u8; 64] = [0; 64];
const READ_BYTES_MAX: usize = 1 << 20;

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawQuic {
    /// Millions of bytes a second, over all connections.
    pub(super) mb_per_s: f64,
    /// From a chunk to its answer, one at a time.
    pub(super) echo: Option<Tail>,
}

/// Measures with so many connections.
pub(super) async fn measure(
    settings: &Settings,
    connections: u32,
    chunk: Bytes,
) -> Result<RawQuic, Failure> {
    let endpoint = RawEndpoint::on_loopback(settings).map_err(anyhow::Error::from)?;
    let trust = Trust::Fingerprint(endpoint.fingerprint().parse()?);
    let options = ConnectOptions::new(endpoint.address().to_string(), trust, "");
    let mut other_end = JoinSet::new();
    other_end.spawn(answer_all(endpoint, chunk.len()));
    let mut open = Vec::with_capacity(connections as usize);
    for _ in 0..connections {
        open.push(RawConnection::open(&options).await?);
    }
    let mb_per_s = flow(&open, &chunk).await?;
    let echo = echo(&open[0], &chunk).await?.middle_and_tail();
    for connection in open {
        connection.close().await;
    }
    Ok(RawQuic { mb_per_s, echo })
}

/// Sends chunks on all connections at once.
async fn flow(connections: &[RawConnection], chunk: &Bytes) -> Result<f64, Failure> {
    let started = Instant::now();
    let mut flows: JoinSet<anyhow::Result<u64>> = JoinSet::new();
    for connection in connections {
        let (mut send, mut receive) = open(connection).await?;
        let chunk = chunk.clone();
        flows.spawn(async move {
            let sending = async {
                let mut bytes = 0;
                while started.elapsed() < FLOW {
                    send.write_chunk(chunk.clone()).await?;
                    bytes += chunk.len() as u64;
                }
                send.finish()?;
                anyhow::Ok(bytes)
            };
            // The other end ends its side when it has all.
            let receiving = async {
                while receive.read_chunk(READ_BYTES_MAX, true).await?.is_some() {}
                Ok(())
            };
            Ok(tokio::try_join!(sending, receiving)?.0)
        });
    }
    let mut bytes = 0;
    while let Some(flowed) = flows.join_next().await {
        bytes += flowed.map_err(anyhow::Error::from)??;
    }
    Ok(bytes as f64 / 1e6 / started.elapsed().as_secs_f64())
}

/// Sends one chunk at a time and waits for its answer.
async fn echo(connection: &RawConnection, chunk: &Bytes) -> Result<Latencies, Failure> {
    let (mut send, mut receive) = open(connection).await?;
    let (mut latencies, started) = (Latencies::new(), Instant::now());
    let mut answer = ANSWER;
    for _ in 0..ECHOES_MAX {
        let sent = Instant::now();
        send.write_chunk(chunk.clone()).await.context("raw QUIC")?;
        receive.read_exact(&mut answer).await.context("raw QUIC")?;
        latencies.record(sent.elapsed(), 1);
        if started.elapsed() >= ECHO {
            break;
        }
    }
    Ok(latencies)
}

async fn open(connection: &RawConnection) -> Result<(SendStream, RecvStream), Failure> {
    Ok(connection.quic().open_bi().await.context("raw QUIC")?)
}

/// The other end: reads, and answers each chunk.
async fn answer_all(endpoint: RawEndpoint, chunk: usize) {
    let mut connections = JoinSet::new();
    while let Some(connection) = endpoint.accept().await {
        connections.spawn(async move {
            let mut streams = JoinSet::new();
            while let Ok((send, receive)) = connection.quic.accept_bi().await {
                streams.spawn(answer(send, receive, chunk));
            }
        });
    }
}

/// An error is a client that has gone, and that tells its own reason.
async fn answer(
    mut send: SendStream,
    mut receive: RecvStream,
    chunk: usize,
) -> Result<(), anyhow::Error> {
    let mut bytes = 0;
    while let Some(read) = receive.read_chunk(READ_BYTES_MAX, true).await? {
        bytes += read.bytes.len();
        while bytes >= chunk {
            bytes -= chunk;
            send.write_all(&ANSWER).await?;
        }
    }
    Ok(send.finish()?)
}

#[cfg(test)]
mod tests {
    use logmill_server::Config;

    use super::*;

    #[tokio::test]
    async fn chunks_flow_and_each_is_answered() {
        let settings = Settings::check(Config::new("unused".into())).unwrap();
        let measured = measure(&settings, 2, Bytes::from(vec![7; 10_000])).await.unwrap();
        assert!(measured.mb_per_s > 0.0);
        assert!(measured.echo.is_some_and(|echo| echo.p50 <= echo.p99 && echo.p99 > 0));
    }
}
