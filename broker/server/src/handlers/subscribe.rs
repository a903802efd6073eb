//! Subscribe streams: batches of one partition out, credit in. **Nothing is read for a subscriber
//! that has no credit**, and no more than it has, a single larger batch excepted.

use logmill_engine::{Subscribe, Subscription};
use logmill_model::Offset;
use logmill_wire::{
    Accepts, Credit, Data, ErrorCode, Fault, Frame, Message, Progress, SubscribeOpen,
    SubscribeOpened,
};
use tokio::sync::watch;
use tracing::debug;

use crate::broker::Client;
use crate::stream::{FrameReader, FrameWriter};
use crate::{fault, limits, metrics};

pub(crate) async fn subscribe(
    client: &Client,
    bytes: &[u8],
    mut reader: FrameReader,
    mut writer: FrameWriter,
) {
    let (subscription, credit) = match open(client, bytes).await {
        Ok(opened) => opened,
        Err(fault) => {
            reader.stop(fault.code);
            return writer.refuse(fault).await;
        }
    };
    reader.accept(Accepts::SUBSCRIBER);
    let (returned, returns) = watch::channel(Returned { bytes: 0, side: Side::Open });
    let account = Account { credit, counted: 0, returns: returns.clone() };
    let stopped = writer.stopped();
    let end = tokio::select! {
        biased;
        () = client.broker.stopping() => End::Fault(fault::shutting_down()),
        _ = stopped => End::Gone,
        end = receive_credit(&mut reader, &returned) => end,
        end = feed(subscription, account, &mut writer) => end,
    };
    match end {
        End::Fault(fault) => {
            reader.stop(fault.code);
            writer.refuse(fault).await;
        }
        End::Done => writer.finish().await,
        End::Gone => {}
    }
}

/// How a subscription ends.
enum End {
    /// The client has ended its side and has got all that its credit allows.
    Done,
    /// The client is to be told why.
    Fault(Fault),
    /// There is nobody to tell.
    Gone,
}

/// What has come from the client.
#[derive(Debug, Clone, Copy)]
struct Returned {
    /// All credit that was given back since the start, in bytes.
    bytes: u64,
    side: Side,
}

/// The client's side of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Open,
    /// No more credit will come.
    Finished,
}

async fn open(client: &Client, bytes: &[u8]) -> Result<(Subscription, Credit), Fault> {
    let open = SubscribeOpen::from_bytes(bytes).map_err(|error| fault::of_wire(&error))?;
    let SubscribeOpen { topic, partition, from, filter, credit } = open;
    let engine = client.engine();
    let wanted = Subscribe { topic: topic.clone(), partition, from, filter };
    let opened = match engine.open_topic(&topic).await {
        Ok(_) => engine.subscribe(wanted).await,
        Err(error) => Err(error),
    };
    let subscription = opened.map_err(|error| fault::of_engine(&error))?;
    debug!(%topic, partition, offset = %subscription.position(), "subscribe stream opened");
    Ok((subscription, Credit::new(credit)))
}

/// Counts what the client gives back. Returns when the stream can't go on; a client that has
/// ended its side well is left to be fed what it has credit for.
async fn receive_credit(reader: &mut FrameReader, returned: &watch::Sender<Returned>) -> End {
    loop {
        match reader.next().await {
            Ok(Some(Frame::Credit(bytes))) => {
                returned.send_modify(|it| it.bytes = it.bytes.saturating_add(bytes));
            }
            Ok(Some(_)) => {
                let text = "only credit frames may follow the opening of a subscribe stream";
                return End::Fault(Fault::new(ErrorCode::BadRequest, text));
            }
            Ok(None) => {
                returned.send_modify(|it| it.side = Side::Finished);
                return std::future::pending().await;
            }
            Err(end) => return fault::of_read(&end).map_or(End::Gone, End::Fault),
        }
    }
}

/// Sends what is there, as far as credit allows, then what comes.
async fn feed(
    mut subscription: Subscription,
    mut account: Account,
    writer: &mut FrameWriter,
) -> End {
    let (start, end) = (subscription.position(), subscription.end());
    let Ok(opened) = (SubscribeOpened { start, end }).to_bytes() else { return End::Gone };
    writer.push(&Frame::Reply(opened));
    if start == end {
        writer.push(&progress(start, end));
    }
    loop {
        if writer.flush().await.is_err() {
            return End::Gone;
        }
        let Some(room) = account.wait_for(1).await else { return End::Done };
        let bytes_max = usize::try_from(room).unwrap_or(usize::MAX).min(limits::CHUNK_BYTES_MAX);
        let chunk = match subscription.next(bytes_max).await {
            Ok(chunk) => chunk,
            Err(error) => return End::Fault(fault::of_engine(&error)),
        };
        let is_empty = chunk.batches.is_empty();
        for stored in chunk.batches {
            let data = Data { envelope: stored.envelope, batch: stored.batch.bytes().clone() };
            if let Err(end) = send(data, &mut account, writer).await {
                return end;
            }
        }
        if is_empty || chunk.next == chunk.end {
            writer.push(&progress(chunk.next, chunk.end));
        }
    }
}

/// Adds a batch to what leaves next, once there is credit for it.
async fn send(data: Data, account: &mut Account, writer: &mut FrameWriter) -> Result<(), End> {
    let bytes = data.body_bytes();
    if !account.credit.allows(bytes) {
        // What the client gives back is what it has received.
        writer.flush().await.map_err(|_| End::Gone)?;
        account.wait_for(bytes).await.ok_or(End::Done)?;
    }
    account.credit.spend(bytes);
    metrics::sent(data.envelope.records, data.batch.len());
    writer.push(&Frame::Data(data));
    Ok(())
}

fn progress(next: Offset, end: Offset) -> Frame {
    Frame::Progress(Progress { next, end })
}

/// A subscription's credit, and where more of it comes from.
struct Account {
    credit: Credit,
    /// How much of what was returned is in `credit`.
    counted: u64,
    returns: watch::Receiver<Returned>,
}

impl Account {
    /// Waits until a body of these bytes may go, and says how many may; None when the client has
    /// no credit for it and will give none.
    async fn wait_for(&mut self, bytes: u64) -> Option<u64> {
        loop {
            let Returned { bytes: returned, side } = *self.returns.borrow_and_update();
            self.credit.give_back(returned - self.counted);
            self.counted = returned;
            if self.credit.allows(bytes) {
                return Some(self.credit.available().max(1));
            }
            if side == Side::Finished || self.returns.changed().await.is_err() {
                return None;
            }
        }
    }
}
