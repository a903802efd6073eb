//! `logmill inspect`: looking into a data directory without its broker.

mod dump;
mod repair;
mod verify;

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use logmill_log::storage::{DiskStorage, Storage};
use logmill_log::{DumpedBatch, DumpedEntry, Hole, Known, LostRange};
use logmill_model::internal::CatalogRecord;
use logmill_model::{CorruptOffsets, PartitionId, PlainBatch, TopicId};

use crate::{Failure, Session};

/// Look into a data directory that no broker is using
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Example:\n  logmill inspect verify /var/lib/logmill")]
pub(crate) enum Verb {
    Verify(verify::Args),
    Dump(dump::Args),
    Repair(repair::Args),
}

impl Verb {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::Verify(args) => args.run(session),
            Self::Dump(args) => args.run(session),
            Self::Repair(args) => args.run(session),
        }
    }
}

/// The directory, to look into.
fn open(dir: &Path) -> Result<Arc<dyn Storage>, Failure> {
    checked(dir, DiskStorage::read_only(dir))
}

/// The directory, to change.
fn open_writable(dir: &Path) -> Result<Arc<dyn Storage>, Failure> {
    checked(dir, DiskStorage::open(dir))
}

fn checked(dir: &Path, opened: io::Result<DiskStorage>) -> Result<Arc<dyn Storage>, Failure> {
    let storage = opened.with_context(|| format!("can't open data directory {}", dir.display()))?;
    let journal = dir.join("journal");
    match std::fs::read_dir(&journal) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let dir = dir.display();
            return Err(anyhow::anyhow!("{dir} is no data directory: it has no journal").into());
        }
        Err(error) => {
            let what = format!("can't look into {}", journal.display());
            return Err(anyhow::Error::new(error).context(what).into());
        }
    }
    logmill_engine::require_journal(&storage).map_err(anyhow::Error::new)?;
    Ok(Arc::new(storage))
}

fn failed(error: logmill_log::Error) -> Failure {
    Failure::Failed(match error {
        logmill_log::Error::Locked { place } => anyhow::anyhow!(
            "{place} is owned by a broker that runs: stop it, or look into a backup that it makes (`logmill backup`)"
        ),
        error => error.into(),
    })
}

/// The names of topics, by their ids.
#[derive(Debug, Default)]
struct Names {
    by_id: BTreeMap<TopicId, String>,
    /// What the directory tells besides its log.
    known: Known,
}

impl Names {
    fn read(storage: &Arc<dyn Storage>) -> Result<Self, Failure> {
        let known = logmill_engine::known(&**storage);
        let mut names = Self { by_id: BTreeMap::new(), known };
        for record in &names.known.catalog {
            if let CatalogRecord::Topic(name, Some(topic)) = record {
                names.by_id.insert(topic.id, name.to_string());
            }
        }
        let records = |it: PlainBatch| it.to_records().collect::<Vec<_>>();
        let mut visit = |entry: DumpedEntry| {
            let catalog = entry.batches.iter().filter(|it| it.partition == PartitionId::CATALOG);
            let plain = |it: &DumpedBatch| it.batch.as_ref()?.plain();
            for (_, record) in catalog.filter_map(plain).flat_map(records) {
                if let Ok(CatalogRecord::Topic(name, Some(topic))) =
                    CatalogRecord::decode(record.key.as_deref(), record.value.as_deref())
                {
                    names.by_id.insert(topic.id, name.to_string());
                }
            }
            ControlFlow::Continue(())
        };
        match logmill_log::dump(storage, &mut visit) {
            Err(error @ logmill_log::Error::Locked { .. }) => Err(failed(error)),
            // Whoever wants the names is told what is wrong by what it does itself.
            _ => Ok(names),
        }
    }

    fn has(&self, topic: &str) -> bool {
        topic.starts_with('_') || self.by_id.values().any(|name| name == topic)
    }

    fn of(&self, topic: TopicId) -> String {
        self.by_id.get(&topic).cloned().unwrap_or_else(|| topic.to_string())
    }
}

impl Names {
    fn lost(&self, hole: &Hole) -> Vec<CorruptOffsets> {
        let lost = |LostRange { partition, from, to }: &LostRange| CorruptOffsets {
            topic: self.of(partition.topic),
            partition: partition.index,
            from: *from,
            to: *to,
        };
        hole.lost.iter().map(lost).collect()
    }
}
