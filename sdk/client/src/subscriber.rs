//! Reading: batches come in, as credit allows; records go out.

mod feed;
mod options;
mod record;

use std::collections::VecDeque;
use std::sync::Arc;

use logmill_wire::{Accepts, StreamKind, SubscribeOpen, SubscribeOpened};
use tokio::sync::mpsc;

use crate::{Client, Error, stream};
use feed::{Event, Feed, Returns, Stop, bad_batch};

pub use options::SubscribeOptions;
pub use record::{ConsumedBatch, ConsumedRecord};

/// How many batches may wait between the streams and the application; their bytes are bounded by
/// the credit.
const EVENTS_MAX: usize = 64;

/// Reads one partition of a topic, or all of them.
///
/// The broker sends no more than the credit; it is given back as the application goes on to the
/// next batch. Records of one partition come in the order of their offsets; offsets may have gaps.
/// Each batch's checksum is verified. A batch that its producer compressed is decompressed when its
/// turn comes, which takes memory for one such batch (2 MiB at most) beyond the credit.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use logmill_client::{Client, ConnectOptions, Position, SubscribeOptions};
///
/// let client = Client::connect(ConnectOptions::discover(None)?).await?;
/// // All that is there now; without `until_end` it would wait for more.
/// let options = SubscribeOptions::new("orders".parse()?).from(Position::Earliest).until_end();
/// let mut orders = client.subscribe(options).await?;
/// while let Some(order) = orders.next().await {
///     let order = order?;
///     println!("{}/{}: {:?}", order.partition, order.offset, order.record.value);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Subscriber {
    events: mpsc::Receiver<Event>,
    /// Partitions that are not read to their end.
    open: usize,
    /// Records of the batch at hand.
    records: VecDeque<ConsumedRecord>,
    /// What the batch at hand costs, to be given back when it is done with.
    at_hand: Option<(Arc<Returns>, u64)>,
}

impl Subscriber {
    pub(crate) async fn open(client: &Client, options: SubscribeOptions) -> Result<Self, Error> {
        let partitions = match options.partition {
            Some(partition) => partition..partition.saturating_add(1),
            None => {
                let topic = client.admin().topic(options.topic.clone()).await?;
                0..u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX)
            }
        };
        let streams_max = client.welcome().limits.streams_max as usize;
        if partitions.len() > streams_max {
            let text = format!(
                "{} partitions at once, the broker allows {streams_max} streams; read some at a time with SubscribeOptions::partition",
                partitions.len()
            );
            return Err(Error::Options(text));
        }
        let credit = options.credit_of_each(partitions.len());
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let mut feeds = Vec::new();
        for partition in partitions {
            feeds.push(open_feed(client, &options, partition, credit, sender.clone()).await?);
        }
        let open = feeds.len();
        for feed in feeds {
            tokio::spawn(feed.run());
        }
        Ok(Self { events, open, records: VecDeque::new(), at_hand: None })
    }

    /// The next record; None when everything that was asked for has been read, or after an error.
    /// A record shares the memory of its batch: copy what is to be kept for long.
    ///
    /// Nothing is lost when this is dropped and called again.
    ///
    /// # Errors
    /// [`Error::Refused`] when the broker ends the subscription (such as `filter failed`);
    /// [`Error::Disconnected`]; [`Error::Protocol`], also for a checksum that is wrong.
    pub async fn next(&mut self) -> Option<Result<ConsumedRecord, Error>> {
        loop {
            if let Some(record) = self.records.pop_front() {
                return Some(Ok(record));
            }
            match self.next_batch().await? {
                Ok(batch) => self.records.extend(batch.records()),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The next batch, for who wants to handle many records at once. Records that
    /// [`next`](Self::next) has not given yet are passed over.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn next_batch(&mut self) -> Option<Result<ConsumedBatch, Error>> {
        self.records.clear();
        if let Some((returns, bytes)) = self.at_hand.take() {
            returns.give_back(bytes);
        }
        while self.open > 0 {
            match self.events.recv().await? {
                Event::Batch { batch, returns, cost } => {
                    self.at_hand = Some((returns, cost));
                    let (base, partition) = (batch.envelope.base_offset, batch.partition);
                    return Some(
                        batch.open().map_err(|error| self.fail(bad_batch(base, partition, &error))),
                    );
                }
                Event::Done => self.open -= 1,
                Event::Failed(error) => return Some(Err(self.fail(error))),
            }
        }
        None
    }

    /// Reads nothing more.
    fn fail(&mut self, error: Error) -> Error {
        self.open = 0;
        self.events.close();
        error
    }
}

async fn open_feed(
    client: &Client,
    options: &SubscribeOptions,
    partition: u32,
    credit: u64,
    events: mpsc::Sender<Event>,
) -> Result<Feed, Error> {
    let open = SubscribeOpen {
        topic: options.topic.clone(),
        partition,
        from: options.from,
        filter: options.filter.clone(),
        credit,
    };
    let (writer, mut reader) =
        stream::open(&client.connection(), StreamKind::Subscribe, &open).await?;
    let SubscribeOpened { start, end } = reader.reply(Accepts::DATA).await?;
    let stop = match (options.to, options.until_end) {
        (Some(to), true) => Some(to.min(end)),
        (None, true) => Some(end),
        (to, false) => to,
    };
    let stop = Stop { offset: stop, time: options.to_time };
    Ok(Feed { partition, writer, reader, next: start, stop, events, returns: Arc::default() })
}

#[cfg(test)]
mod tests;
