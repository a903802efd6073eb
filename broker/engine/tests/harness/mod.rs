//! An engine on a disk that fails when it is told to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use logmill_engine::Options;
use logmill_engine::clock::Clock;
use logmill_log::Settings;
use logmill_log::faulty::FaultyStorage;
use logmill_model::TopicName;

/// The topic that the tests are about.
pub(crate) fn topic() -> TopicName {
    "t".parse().unwrap()
}

/// With small files and a short tail, so that little is enough to roll over and to read from disk.
pub(crate) fn options(storage: &FaultyStorage, modules: &Path) -> Options {
    Options {
        storage: Arc::new(storage.clone()),
        data_dir: modules.to_owned(),
        create_topics: false,
        topics_on_demand: false,
        compile_apart: false,
        clock: Clock::machine(),
        retention_interval: Duration::from_millis(50),
        before_call: None,
        log: Settings { journal_file_bytes: 16 << 10, tail_bytes: 4 << 10, ..Settings::default() },
    }
}
