//! A machine whose clock is set to another century while the broker runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use logmill_engine::Options;
use logmill_engine::clock::{Clock, TimeSource};
use logmill_model::Timestamp;
use logmill_wire::{Ack, Frame, ProduceOpen, ProduceOpened, Request, Response, StreamKind};

use super::support::{Client, Site, batch};
use crate::{Settings, serve};

const CENTURY_MS: u64 = 100 * 365 * 24 * 60 * 60 * 1000;
const START: Timestamp = Timestamp(CENTURY_MS / 2);

#[derive(Clone, Default)]
struct SetByHand {
    passed_ms: Arc<AtomicU64>,
    wrong_by_ms: Arc<AtomicU64>,
}

impl TimeSource for SetByHand {
    fn wall(&self) -> Timestamp {
        START.plus_ms(self.passed_ms.load(Relaxed)).plus_ms(self.wrong_by_ms.load(Relaxed))
    }

    fn since_boot_ms(&self) -> u64 {
        self.passed_ms.load(Relaxed)
    }
}

async fn appended_at(client: &Client) -> Timestamp {
    let open = ProduceOpen { topic: "t".parse().unwrap(), partition: Some(0), producer: None };
    let mut stream = client.open_with(StreamKind::Produce, &open).await;
    stream.reply::<ProduceOpened>().await.unwrap();
    stream.produce(1, 0, &batch(&["a"])).await;
    match stream.frame().await {
        Frame::Ack(Ack { append_ts, .. }) => append_ts,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_clock_that_jumps_stamps_no_record_until_an_operator_accepts_it() {
    let (site, time) = (Site::new(), SetByHand::default());
    let options = Options { clock: Clock::of(Box::new(time.clone())), ..site.options() };
    let server = serve(Settings::check(site.config()).unwrap(), options).await.unwrap();
    let client = site.client(&server).await;
    client.create("t", 1).await;
    assert_eq!(appended_at(&client).await, START);

    time.wrong_by_ms.store(CENTURY_MS, Relaxed);
    time.passed_ms.store(5, Relaxed);
    assert_eq!(appended_at(&client).await, START.plus_ms(5));
    let Ok(Response::Status(status)) = client.ask(Request::Status).await else { panic!() };
    let jump = status.clock_jump.unwrap();
    assert_eq!(jump.believed, START.plus_ms(5));
    assert_eq!(jump.wall, START.plus_ms(5 + CENTURY_MS));

    assert_eq!(client.ask(Request::ClockAccept).await, Ok(Response::Done));
    assert_eq!(appended_at(&client).await, START.plus_ms(5 + CENTURY_MS));
    let Ok(Response::Status(status)) = client.ask(Request::Status).await else { panic!() };
    assert_eq!(status.clock_jump, None);
}
