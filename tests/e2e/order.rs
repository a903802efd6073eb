//! `order = key`: what fails holds up its key and nothing else, also across a kill.

use std::collections::BTreeMap;

use logmill_client::World;
use logmill_tests::{Broker, guest, read_all, record, text};

use crate::PROGRAM;

const KEYS: [&str; 3] = ["a", "b", "c"];
const OF_EACH: usize = 20;

/// Records of three keys in turn; the first of `a` fails a few times.
async fn produce(broker: &Broker) {
    let client = broker.client().await;
    let producer = client.producer("in".parse().unwrap()).await.unwrap();
    let mut sent = Vec::new();
    for at in 0..OF_EACH {
        for key in KEYS {
            let what = if (key, at) == ("a", 0) { "flaky 3" } else { "done" };
            let value = format!("{at} {what}");
            sent.push(producer.send(record(key, value)).await.unwrap());
        }
    }
    for ack in sent {
        ack.wait().await.unwrap();
    }
}

async fn outputs(broker: &Broker) -> BTreeMap<String, Vec<usize>> {
    let mut outputs = BTreeMap::<String, Vec<usize>>::new();
    for it in read_all(&broker.client().await, "out").await {
        let key = String::from_utf8(it.record.key.clone().unwrap().to_vec()).unwrap();
        let (id, _) = text(&it.record).split_once(' ').unwrap();
        outputs.entry(key).or_default().push(id.parse().unwrap());
    }
    outputs
}

#[tokio::test]
async fn a_failing_key_is_retried_in_order_while_others_pass_also_across_a_kill() {
    let component = guest("scripted").await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    produce(&broker).await;
    let flags = "--on in --out out --from earliest --order key --backoff fixed:1500ms";
    broker.deploy("c", World::Consumer, &component, flags).await;
    let held = broker.described("c", |it| it.counts.done == 40).await;
    assert_eq!((held.lanes[0].parked, held.lanes[0].lag), (OF_EACH as u64, OF_EACH as u64));
    assert_eq!((held.lanes[0].cursor.0, held.counts.retried), (0, 1));
    let all: Vec<usize> = (0..OF_EACH).collect();
    let passed = outputs(&broker).await;
    assert_eq!(passed.keys().collect::<Vec<_>>(), ["b", "c"]);
    let data = broker.kill().await;

    let broker = Broker::start_on(PROGRAM, &data).await;
    let settled = broker.settled("c").await;
    assert_eq!((settled.counts.done, settled.counts.retried), (60, 3), "no attempt is lost");
    assert_eq!((settled.lanes[0].parked, settled.lanes[0].lag), (0, 0));
    let outputs = outputs(&broker).await;
    for key in KEYS {
        assert_eq!(outputs[key], all, "{key}");
    }
}

#[tokio::test]
async fn a_lane_with_all_it_may_park_says_so_and_goes_on_by_itself() {
    let component = guest("scripted").await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    produce(&broker).await;
    let flags = "--on in --out out --from earliest --order key --max-parked 5 \
                 --backoff fixed:400ms";
    broker.deploy("c", World::Consumer, &component, flags).await;
    let held = broker.described("c", |it| it.lanes[0].waiting.is_some()).await;
    let waiting = held.lanes[0].waiting.as_deref().unwrap();
    assert!(waiting.starts_with("5 records of "), "{waiting}");
    assert_eq!(held.lanes[0].parked, 5);
    let settled = broker.settled("c").await;
    assert_eq!((settled.counts.done, settled.lanes[0].waiting.as_deref()), (60, None));
}
