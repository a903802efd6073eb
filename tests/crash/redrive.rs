//! Dead letters that are redriven have one more outcome each, whenever the broker or the command dies.

use std::collections::{BTreeMap, HashMap};
use std::process::Stdio;
use std::time::Duration;

use logmill_client::World;
use logmill_tests::{Broker, Chance, DataDir, Setup, guest, read_all, record, rounds, text};

use crate::PROGRAM;
use crate::crash::rebuild::rebuilt;

const LETTERS: u64 = 600;
const KEYS: u64 = 7;
/// One round's records that were no dead letters.
const LIVE: u64 = 40;

fn key(number: u64) -> String {
    format!("k{}", number % KEYS)
}

/// Records that the module gives up, and the mended module that does not.
async fn prepare(broker: &Broker) {
    let component = guest("scripted").await;
    broker.create_topic("in", 3).await;
    broker.create_topic("c.dlq", 2).await;
    let line = |number: u64| {
        let value = format!("{number} reject");
        format!("{}\n", serde_json::json!({"key": key(number), "value": value}))
    };
    let lines: String = (0..LETTERS).map(line).collect();
    let produce = ["produce", "in", "--file", "-", "--format", "record"];
    broker.logmill_with_stdin(&produce, lines.as_bytes()).await.ok();
    let flags = "--on in --out out --from earliest --order key --max-parked 100";
    broker.deploy("c", World::Consumer, &component, flags).await;
    broker.described("c", |it| it.counts.dead_lettered == LETTERS).await;
    broker.deploy("c", World::Consumer, &component, "--config mended=yes").await;
}

/// Redrives until it is done, or killed after this long.
async fn redrive(broker: &Broker, time: Duration) -> bool {
    let mut command = PROGRAM.command();
    command.env("LOGMILL_CONNECT", &broker.connection().path);
    command.args(["dlq", "redrive", "c", "--rate", "400/s"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let ended = tokio::time::timeout(time, child.wait()).await;
    // An error: it has ended meanwhile.
    let _ = child.kill().await;
    ended.is_ok_and(|status| status.unwrap().success())
}

/// Sends live records of the same keys, as far as the broker lives.
async fn produce(broker: &Broker, round: u64) {
    let Ok(client) = broker.try_client().await else { return };
    let Ok(producer) = client.producer("in".parse().unwrap()).await else { return };
    for number in 0..LIVE {
        let number = (round + 1) * 10_000 + number;
        let value = format!("{number} done");
        let Ok(sent) = producer.send(record(&key(number), value)).await else { return };
        if sent.wait().await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_letter_has_one_more_outcome_in_the_order_of_its_key() {
    let (mut chance, data) = (Chance::new(), DataDir::new());
    let broker = Broker::start_on(PROGRAM, &data).await;
    prepare(&broker).await;
    broker.kill().await;
    let mut cut = 0;
    for round in rounds(12) {
        if chance.once_in(4) {
            let moment = chance.time_up_to(Duration::from_millis(60));
            Broker::start_and_kill(PROGRAM, Setup::on(&data), moment).await;
        }
        let broker = Broker::start_on(PROGRAM, &data).await;
        let command_dies = chance.time_up_to(Duration::from_millis(500));
        let broker_dies = chance.time_up_to(Duration::from_millis(700));
        // The kill cuts both off where they are.
        let _ = tokio::time::timeout(broker_dies, async {
            let (done, ()) = tokio::join!(redrive(&broker, command_dies), produce(&broker, round));
            cut += u64::from(!done);
            std::future::pending::<()>().await
        })
        .await;
        broker.kill().await;
    }
    let broker = Broker::start_on(PROGRAM, &data).await;
    let open: serde_json::Value =
        broker.logmill(&["dlq", "ls", "-o", "json"]).await.ok().json_line();
    eprintln!("{cut} commands were cut off, and {} of {LETTERS} letters are open", open["open"]);
    broker.logmill(&["dlq", "redrive", "c"]).await.ok();
    let counts = broker.settled("c").await.counts;
    compare(&broker).await;
    assert_eq!((counts.lost, counts.dead_lettered), (0, LETTERS));
    rebuilt(broker, &["c"]).await;
}

async fn compare(broker: &Broker) {
    let client = broker.client().await;
    let (mut outputs, mut by_key) = (HashMap::new(), BTreeMap::<_, Vec<u64>>::new());
    for output in read_all(&client, "out").await {
        let (number, _) = text(&output.record).split_once(' ').unwrap();
        let number: u64 = number.parse().unwrap();
        *outputs.entry(number).or_insert(0) += 1;
        let is_redriven = number < LETTERS;
        by_key.entry((number % KEYS, is_redriven)).or_default().push(number);
    }
    let inputs = read_all(&client, "in").await;
    assert!(inputs.len() as u64 >= LETTERS);
    for input in &inputs {
        let (number, _) = text(&input.record).split_once(' ').unwrap();
        let number: u64 = number.parse().unwrap();
        assert_eq!(outputs.remove(&number), Some(1), "outcomes of record {number}");
    }
    assert!(outputs.is_empty(), "outcomes of nothing: {outputs:?}");
    for ((key, is_redriven), numbers) in by_key {
        assert!(numbers.is_sorted(), "key {key}, redriven {is_redriven}: {numbers:?}");
    }
    let letters = read_all(&client, "c.dlq").await;
    assert_eq!(letters.len() as u64, LETTERS, "nothing died again");
}
