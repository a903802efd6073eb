//! Sent again and again, stored once: acks that are dropped, connections that are cut, and a broker
//! that is killed.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use logmill_client::{Client, Offset, ProducerOptions};
use logmill_model::{ProducerIdentity, RecordBatch};
use logmill_tests::ledger::{self, Fate, Ledger, Sent};
use logmill_tests::{Broker, Chance, DataDir, RawConnection, RawStream, encoded, rounds, within};
use logmill_wire::{
    Accepts, Ack, Append, AppendBatch, ErrorCode, Frame, Message as _, ProduceOpen, Request,
    Response, StreamKind,
};

use crate::PROGRAM;

const TOPIC: &str = "t";
const PARTITIONS: u32 = 3;
const IN_FLIGHT: usize = 16;

/// A batch that has no answer that was taken in.
struct Open {
    number: u64,
    /// How many came before it in its partition.
    place: u64,
    first_sequence: u64,
    batch: RecordBatch,
    /// What an ack said that was then dropped.
    told: Option<Offset>,
}

/// A producer below the client, which drops one ack in ten and never gives up.
struct Stubborn {
    id: u64,
    identity: ProducerIdentity,
    chance: Chance,
    /// By partition: what has no answer, in order, and the next sequence.
    open: BTreeMap<u32, Vec<Open>>,
    next: BTreeMap<u32, u64>,
    /// How many batches each partition has had.
    places: BTreeMap<u32, u64>,
    number: u64,
    acked: HashMap<ledger::BatchId, Sent>,
    dropped: u64,
    /// Acks that say that it was there already.
    repeated: u64,
}

async fn connect(broker: &Broker) -> RawConnection {
    let connection = RawConnection::connect(broker.connection(), logmill_wire::ALPN).await.unwrap();
    connection.hello(&broker.connection().token).await;
    connection
}

async fn register(broker: &Broker, name: &str) -> ProducerIdentity {
    let request = Request::ProducerRegister { name: Some(name.parse().unwrap()) };
    let frame = Frame::Open(StreamKind::Control, request.to_bytes().unwrap());
    let connection = connect(broker).await;
    let Some(Frame::Reply(bytes)) = connection.open(&frame).await.next(Accepts::REPLY).await else {
        panic!("no identity")
    };
    match Response::from_bytes(&bytes) {
        Ok(Response::Producer(identity)) => identity,
        other => panic!("{other:?}"),
    }
}

async fn produce_stream(connection: &RawConnection, identity: ProducerIdentity) -> RawStream {
    let producer = Some(identity);
    let open = ProduceOpen { topic: TOPIC.parse().unwrap(), partition: None, producer };
    let frame = Frame::Open(StreamKind::Produce, open.to_bytes().unwrap());
    let mut stream = connection.open(&frame).await;
    assert!(matches!(stream.next(Accepts::REPLY).await, Some(Frame::Reply(_))));
    stream
}

impl Stubborn {
    async fn new(broker: &Broker, id: u64, chance: Chance) -> Self {
        let identity = register(broker, &format!("p{id}")).await;
        let (open, next, places) = Default::default();
        let (acked, number, dropped, repeated) = Default::default();
        Self { id, identity, chance, open, next, places, number, acked, dropped, repeated }
    }

    /// Works on one connection for so many answers, or until it is lost; tells whether it lives.
    async fn work(&mut self, broker: &Broker, answers: u64) -> bool {
        let connection = connect(broker).await;
        let mut stream = produce_stream(&connection, self.identity).await;
        let (mut request, mut waiting) = (0, BTreeMap::new());
        let open: Vec<(u32, u64)> =
            self.open.iter().flat_map(|(to, all)| all.iter().map(|it| (*to, it.number))).collect();
        for (partition, number) in open {
            request += 1;
            if !self.send(&mut stream, request, partition, number).await {
                return false;
            }
            waiting.insert(request, (partition, number));
        }
        for _ in 0..answers {
            while waiting.len() < IN_FLIGHT {
                let Some(partition) = self.add() else { break };
                request += 1;
                if !self.send(&mut stream, request, partition, self.number).await {
                    return false;
                }
                waiting.insert(request, (partition, self.number));
            }
            let ack = match stream.next(Accepts::ACKS).await {
                Some(Frame::Ack(ack)) => ack,
                Some(Frame::Fault(fault)) if fault.code == ErrorCode::Unknown => return false,
                Some(other) => panic!("{other:?}"),
                None => return false,
            };
            let (partition, number) = waiting.remove(&ack.request).expect("it was sent");
            if self.take(partition, number, &ack) {
                continue;
            }
            // Dropped: it is sent again at once, behind others.
            request += 1;
            if !self.send(&mut stream, request, partition, number).await {
                return false;
            }
            waiting.insert(request, (partition, number));
        }
        true
    }

    /// Makes a batch for some partition, unless the broker might forget one there that is open.
    fn add(&mut self) -> Option<u32> {
        let partition = u32::try_from(self.chance.between(0, u64::from(PARTITIONS) - 1)).unwrap();
        let place = self.places.entry(partition).or_default();
        let oldest = self.open.get(&partition).and_then(|all| all.first());
        if oldest.is_some_and(|oldest| *place - oldest.place >= IN_FLIGHT as u64) {
            return None;
        }
        *place += 1;
        let place = *place - 1;
        self.number += 1;
        let batch = ledger::batch((self.id, self.number));
        let next = self.next.entry(partition).or_default();
        let (number, first_sequence) = (self.number, *next);
        *next += u64::from(batch.record_count());
        let open = Open { number, place, first_sequence, batch, told: None };
        self.open.entry(partition).or_default().push(open);
        Some(partition)
    }

    async fn send(
        &mut self,
        stream: &mut RawStream,
        request: u64,
        partition: u32,
        number: u64,
    ) -> bool {
        let open = self.open[&partition].iter().find(|it| it.number == number).unwrap();
        let first_sequence = Some(open.first_sequence);
        let batch = AppendBatch { first_sequence, ..AppendBatch::new(partition, &open.batch) };
        let frame = Frame::Append(Append { request, batches: vec![batch] });
        stream.send.write_all(&encoded(&frame)).await.is_ok()
    }

    /// Takes an ack in, or drops it; what it says must be what one before it has said.
    fn take(&mut self, partition: u32, number: u64, ack: &Ack) -> bool {
        let all = self.open.get_mut(&partition).unwrap();
        let at = all.iter().position(|it| it.number == number).unwrap();
        self.repeated += u64::from(ack.was_there);
        if let Some(told) = all[at].told {
            assert_eq!(ack.base_offset, told, "a duplicate is told where its original lies");
            assert!(ack.was_there);
        }
        if self.chance.once_in(10) {
            self.dropped += 1;
            all[at].told = Some(ack.base_offset);
            return false;
        }
        all.remove(at);
        let fate = Fate::Acked(ack.base_offset);
        self.acked.insert((self.id, number), Sent { partition, fate });
        true
    }

    /// Goes on until nothing is open.
    async fn finish(&mut self, broker: &Broker) {
        let connection = connect(broker).await;
        let mut stream = produce_stream(&connection, self.identity).await;
        while let Some((partition, number)) =
            self.open.iter().find_map(|(partition, all)| Some((*partition, all.first()?.number)))
        {
            assert!(self.send(&mut stream, number, partition, number).await);
            let Some(Frame::Ack(ack)) = stream.next(Accepts::ACKS).await else { panic!("no ack") };
            self.take(partition, number, &ack);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sequence_is_stored_once_though_acks_are_dropped_and_the_broker_is_killed() {
    let mut chance = Chance::new();
    let (data, mut ledger) = (DataDir::new(), Ledger::default());
    let mut producers = Vec::new();
    for round in rounds(12) {
        let broker = Broker::start_on(PROGRAM, &data).await;
        if round == 0 {
            broker.create_topic(TOPIC, PARTITIONS).await;
            for id in 0..3 {
                producers.push(Stubborn::new(&broker, id, chance.fork()).await);
            }
        }
        let moment = chance.time_up_to(Duration::from_millis(400));
        let load = async {
            loop {
                let mut lives = true;
                for producer in &mut producers {
                    let answers = producer.chance.between(1, 60);
                    lives &= producer.work(&broker, answers).await;
                }
                if !lives {
                    return;
                }
            }
        };
        // Nobody ends the load: this is when it is cut off.
        let _ = tokio::time::timeout(moment, load).await;
        broker.kill().await;
    }
    let broker = Broker::start_on(PROGRAM, &data).await;
    for producer in &mut producers {
        producer.finish(&broker).await;
        ledger.add(std::mem::take(&mut producer.acked));
    }
    ledger.check_all(&broker.client().await, TOPIC).await;
    let dropped: u64 = producers.iter().map(|it| it.dropped).sum();
    let repeated: u64 = producers.iter().map(|it| it.repeated).sum();
    let (acked, unknown) = ledger.counts();
    eprintln!("{acked} batches acked, {dropped} acks dropped, {repeated} said it was there");
    assert_eq!(unknown, 0);
    assert!(acked > 300 && dropped > 30 && repeated >= dropped, "there was load");

    // Whoever takes a name over fences who had it.
    let older = &producers[0];
    let newer = register(&broker, "p0").await;
    assert_eq!((newer.id, newer.epoch), (older.identity.id, older.identity.epoch + 1));
    let mut stream = produce_stream(&connect(&broker).await, older.identity).await;
    let first_sequence = Some(older.next[&0]);
    let batch = AppendBatch { first_sequence, ..AppendBatch::new(0, &ledger::batch((9, 9))) };
    let frame = Frame::Append(Append { request: 1, batches: vec![batch] });
    stream.send.write_all(&encoded(&frame)).await.unwrap();
    let answer = stream.next(Accepts::ACKS).await;
    let Some(Frame::Fault(fault)) = answer else { panic!("{answer:?}") };
    assert_eq!(fault.code, ErrorCode::Fenced);
}

/// The client's own producers, which live through all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_lives_through_kills_of_its_broker_and_each_of_its_tickets_is_an_ack() {
    const PRODUCERS: u64 = 3;
    let mut chance = Chance::new();
    let (data, mut ledger) = (DataDir::new(), Ledger::default());
    let mut broker = Broker::start_on(PROGRAM, &data).await;
    broker.create_topic(TOPIC, PARTITIONS).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (mut clients, mut load): (Vec<Client>, _) = (Vec::new(), tokio::task::JoinSet::new());
    for id in 0..PRODUCERS {
        let client = broker.client().await;
        let options = ProducerOptions {
            name: Some(format!("producer-{id}").parse().unwrap()),
            retry_for: Duration::from_secs(120),
            ..ProducerOptions::default()
        };
        let producer = client.producer_with(TOPIC.parse().unwrap(), options).await.unwrap();
        clients.push(client);
        let numbers = {
            let stopped = stopped.clone();
            (0..).take_while(move |_| !*stopped.borrow())
        };
        load.spawn(ledger::produce(producer, id, numbers, chance.fork(), || {}));
    }
    for _ in rounds(8) {
        let moment = chance.time_up_to(Duration::from_millis(300));
        let _ = tokio::time::timeout(moment, std::future::pending::<()>()).await;
        broker.kill().await;
        broker = Broker::start_on(PROGRAM, &data).await;
    }
    stop.send_replace(true);
    while let Some(sent) = within("all tickets are resolved", load.join_next()).await {
        ledger.add(sent.unwrap());
    }
    ledger.check_all(&broker.client().await, TOPIC).await;
    let (acked, unknown) = ledger.counts();
    eprintln!("{acked} batches acked");
    assert_eq!(unknown, 0, "a reconnect resolves what was in flight");
    assert!(acked > 100, "there was load: {acked}");
}
