//! Each input of a consumer has exactly one outcome, whenever the broker dies.

use std::collections::HashMap;
use std::time::Duration;

use logmill_client::{ConsumedRecord, Counts, World};
use logmill_tests::{Broker, Chance, DataDir, Setup, guest, read_all, rounds, text};

use crate::PROGRAM;

const SCRIPTED: &str = "scripted";
const MAX_ATTEMPTS: u64 = 3;
/// One round's share of the inputs.
const INPUTS: u64 = 60;

/// What is to become of an input, by what it tells the module to do.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Outcome {
    Output,
    Dropped,
    /// With this reason, after so many attempts.
    DeadLetter(&'static str, u64),
}

fn outcome(verb: &str) -> Outcome {
    match verb {
        "done" | "flaky" => Outcome::Output,
        "drop" => Outcome::Dropped,
        "reject" => Outcome::DeadLetter("rejected", 1),
        "fail" => Outcome::DeadLetter("error", MAX_ATTEMPTS),
        "retry" => Outcome::DeadLetter("retry", MAX_ATTEMPTS),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_input_has_exactly_one_outcome_and_exactly_its_attempts() {
    let component = guest(SCRIPTED).await;
    let (mut chance, data) = (Chance::new(), DataDir::new());
    for round in rounds(12) {
        if chance.once_in(4) {
            let moment = chance.time_up_to(Duration::from_millis(60));
            Broker::start_and_kill(PROGRAM, Setup::on(&data), moment).await;
        }
        let broker = Broker::start_on(PROGRAM, &data).await;
        if round == 0 {
            broker.create_topic("in", 3).await;
            let flags = format!(
                "--on in --out out --from earliest --max-attempts {MAX_ATTEMPTS} --backoff fixed:5ms"
            );
            broker.deploy("c", World::Consumer, &component, &flags).await;
        }
        let inputs = inputs(round, &mut chance);
        let produce = ["produce", "in", "--file", "-", "--format", "record"];
        let before = broker.describe("c").await.counts;
        let producing = broker.logmill_with_stdin(&produce, inputs.as_bytes());
        let handled = chance.between(0, INPUTS);
        let working = broker.described("c", |it| settled(&it.counts) >= settled(&before) + handled);
        // The kill cuts both off where they are.
        let (produced, _) = tokio::join!(producing, async {
            let _ = tokio::time::timeout(Duration::from_millis(2000), working).await;
        });
        produced.ok();
        broker.kill().await;
    }
    let broker = Broker::start_on(PROGRAM, &data).await;
    let counts = broker.settled("c").await.counts;
    compare(&broker, counts).await;
}

fn settled(counts: &Counts) -> u64 {
    counts.done + counts.dropped + counts.dead_lettered
}

fn inputs(round: u64, chance: &mut Chance) -> String {
    const VERBS: [&str; 8] = ["done", "done", "done", "drop", "reject", "fail", "retry", "flaky 2"];
    let line = |number: u64, verb: &str| {
        let (key, value) = (format!("k{}", number % 5), format!("{round}-{number} {verb}"));
        format!("{}\n", serde_json::json!({"key": key, "value": value}))
    };
    (0..INPUTS).map(|number| line(number, VERBS[chance.between(0, 7) as usize])).collect()
}

fn id_and_verb(record: &ConsumedRecord) -> (String, &str) {
    let mut words = text(&record.record).split(' ');
    (words.next().unwrap().to_owned(), words.next().unwrap())
}

/// Each input by its id, with what became of it.
async fn compare(broker: &Broker, counts: Counts) {
    let client = broker.client().await;
    let mut outcomes: HashMap<String, Vec<Outcome>> = HashMap::new();
    for output in read_all(&client, "out").await {
        outcomes.entry(id_and_verb(&output).0).or_default().push(Outcome::Output);
    }
    for letter in read_all(&client, "c.dlq").await {
        let header = |name: &str| {
            String::from_utf8(letter.record.header(name).expect(name).to_vec()).unwrap()
        };
        let reason =
            ["rejected", "error", "retry"].into_iter().find(|it| *it == header("dlq-reason"));
        let attempts = header("dlq-attempts").parse().unwrap();
        let outcome = Outcome::DeadLetter(reason.expect("a known reason"), attempts);
        outcomes.entry(id_and_verb(&letter).0).or_default().push(outcome);
    }
    let inputs = read_all(&client, "in").await;
    let (mut failed, mut dropped) = (0, 0);
    for input in &inputs {
        let (id, verb) = id_and_verb(input);
        let expected = outcome(verb);
        let found = outcomes.remove(&id).unwrap_or_default();
        if expected == Outcome::Dropped {
            assert_eq!(found, [], "{id} {verb}");
            dropped += 1;
        } else {
            assert_eq!(found, [expected], "{id} {verb}");
        }
        failed += match verb {
            "fail" => MAX_ATTEMPTS,
            "flaky" => 2,
            _ => 0,
        };
    }
    assert!(outcomes.is_empty(), "outcomes of nothing: {outcomes:?}");
    eprintln!("{} inputs: {counts:?}", inputs.len());
    // Counts are durable with the outcomes, so they are as exact.
    assert_eq!(settled(&counts), inputs.len() as u64);
    assert_eq!((counts.dropped, counts.errors), (dropped, failed));
}
