//! What a lane remembers is as exact as its outcomes, whatever happens to the broker.

use logmill_model::internal::StateRecord;
use logmill_wasm::SharedMemory;

use super::*;

const KEYS: u64 = 4;
const INPUTS: u64 = 90;

/// Counts the records of each key in its state and outputs the count; not all of its calls come to
/// something.
struct Counting {
    /// Makes each output this much longer.
    padding: usize,
}

impl Handler for Counting {
    fn handle(&mut self, message: &Message, call: CallContext<'_>) -> Result<Called, Failure> {
        let offset = message.offset.expect("a consumer sees offsets").0;
        let (key, memory) = (key_of(offset), call.memory.expect("a consumer has a memory"));
        let count = count(&memory, &key) + 1;
        memory.lock().unwrap().set(&key, count.to_string().into()).unwrap();
        match (offset % 7, message.attempt) {
            (1, _) => Ok(Called::Verdict(Verdict::Drop("dull".into()))),
            (2, _) => Ok(Called::Verdict(Verdict::DeadLetter("bad".into()))),
            (3, 1) => Err(trap()),
            (4, attempt) if attempt < MAX_ATTEMPTS => Ok(Called::Verdict(retry())),
            _ => {
                let value = format!("{key} {count} {}", "x".repeat(self.padding));
                let output = Output { value: Some(value.into()), ..Output::default() };
                Ok(Called::Verdict(Verdict::Done(vec![output])))
            }
        }
    }
}

fn count(memory: &SharedMemory, key: &str) -> u64 {
    let value = memory.lock().unwrap().get(key);
    value.map_or(0, |value| String::from_utf8(value.to_vec()).unwrap().parse().unwrap())
}

impl Handlers for Counting {
    fn instantiate(&self, _: CallContext<'_>) -> Result<Box<dyn Handler>, Failure> {
        Ok(Box::new(Self { padding: self.padding }))
    }
}

fn key_of(offset: u64) -> String {
    format!("key{}", offset % KEYS)
}

fn counting(bench: &Bench, padding: usize) -> Lane {
    bench.lane_of(Arc::new(Counting { padding }))
}

/// The keys of the lane and their values.
fn keys_of(remembered: &Remembered) -> BTreeMap<String, String> {
    let state = remembered.lane(SOURCE);
    let text = |value: &bytes::Bytes| String::from_utf8(value.to_vec()).unwrap();
    state.read().after(None).map(|(key, value)| (key.clone(), text(value))).collect()
}

/// The outputs show each count of each key once and in order, and the state is what they come to.
async fn check(bench: &Bench) {
    let mut counts = BTreeMap::<String, u64>::new();
    for output in bench.read(OUT) {
        let text = String::from_utf8(output.value.unwrap().to_vec()).unwrap();
        let (key, rest) = text.split_once(' ').unwrap();
        let count = counts.entry(key.to_owned()).or_default();
        *count += 1;
        assert_eq!(rest.split(' ').next().unwrap(), count.to_string(), "of {key}");
    }
    let expected: Vec<u64> = (0..INPUTS).filter(|at| !matches!(at % 7, 1 | 2)).collect();
    assert_eq!(counts.values().sum::<u64>(), expected.len() as u64);
    let counted = counts.into_iter().map(|(key, count)| (key, count.to_string())).collect();
    bench.remembered.read_back(&bench.parts).await.unwrap();
    assert_eq!(keys_of(&bench.remembered), counted);
    let read_back = Remembered::of(LANE.deployment);
    read_back.read_back(&bench.parts).await.unwrap();
    assert_eq!(keys_of(&read_back), counted);
}

#[tokio::test]
async fn each_count_is_told_once_and_the_state_is_what_was_told_across_power_cuts() {
    for seed in 0..6 {
        let storage = FaultyStorage::new();
        let bench = Bench::open(&storage);
        bench.prepare(INPUTS as usize).await;
        bench.close().await;
        for round in 0..25 {
            let bench = Bench::open(&storage);
            storage.stop_at_sync(1 + (seed + round) % 6);
            bench.run_lane(counting(&bench, 0), INPUTS).await;
            bench.close().await;
            storage.power_cut(seed * 1000 + round);
        }
        let bench = Bench::open(&storage);
        bench.run_lane(counting(&bench, 0), INPUTS).await;
        check(&bench).await;
        bench.close().await;
    }
}

#[tokio::test]
async fn a_run_that_is_refused_has_changed_nothing() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    bench.prepare(INPUTS as usize).await;
    // Together, the outputs of a run are too large for a commit.
    bench.run_lane(counting(&bench, 900_000), INPUTS).await;
    check(&bench).await;
    bench.close().await;
}

/// Changes a byte of the first place on the disk where these are.
pub(super) fn damage(storage: &FaultyStorage, bytes: &[u8]) {
    for path in storage.paths() {
        let mut contents = storage.contents(&path).unwrap();
        if let Some(at) = contents.windows(bytes.len()).position(|it| it == bytes) {
            contents[at] ^= 1;
            return storage.set_contents(&path, &contents);
        }
    }
    unreachable!("nothing was remembered");
}

/// Waits until the lane stands still, and tells why.
pub(super) async fn is_corrupt(bench: &Bench) -> String {
    soon(async {
        while !bench.status.lock().unwrap().is_corrupt {
            tokio::task::yield_now().await;
        }
    })
    .await;
    bench.status.lock().unwrap().waiting.clone().unwrap()
}

#[tokio::test]
async fn a_lane_that_may_have_forgotten_something_stands_still_until_the_loss_is_accepted() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    bench.prepare(INPUTS as usize).await;
    bench.run_lane(counting(&bench, 0), INPUTS).await;
    bench.close().await;
    let lane = StateRecord { source: SOURCE, key: "key".to_owned(), value: None }.encode();
    damage(&storage, &lane.key.unwrap());
    let bench = Bench::open(&storage);
    bench.append(SOURCE, &[Record::default()]).await;
    let lane = tokio::spawn(counting(&bench, 0).run());
    let why = is_corrupt(&bench).await;
    assert!(why.contains("repair --accept-loss"), "{why}");
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    assert_eq!(bench.parts.views.cursor(LANE).unwrap().floor(), Offset(INPUTS));
    bench.close().await;
    let storage_of_repair: Arc<dyn logmill_log::storage::Storage> = Arc::new(storage.clone());
    assert_eq!(
        logmill_log::accept_losses(&storage_of_repair, &logmill_log::Known::default())
            .unwrap()
            .len(),
        1
    );
    let bench = Bench::open(&storage);
    bench.run_lane(counting(&bench, 0), INPUTS + 1).await;
    bench.close().await;
}
