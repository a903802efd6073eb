//! The broker at a glance: what one asks at 3 a.m.

use logmill_log::Hole;
use logmill_model::{BrokerStatus, CorruptOffsets, CorruptPlace, SpaceLevel};

use crate::Engine;

impl Engine {
    /// The broker at a glance.
    #[must_use]
    pub fn status(&self) -> BrokerStatus {
        let stats = self.log_stats();
        BrokerStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: self.recovered().cluster.to_string(),
            epoch: self.epoch().0,
            uptime_ms: u64::try_from(self.uptime().as_millis()).unwrap_or(u64::MAX),
            journal_bytes: stats.journal_bytes,
            disk_free_bytes: self.disk_free_bytes(),
            disk_level: self.space_level(),
            durable_csn: self.durable_csn().0,
            clock_jump: self.options().clock.jump(),
            corrupt: self.corrupt(),
            backup: self.backups().progress(),
            open_dead_letters: self.open_dead_letters(),
            topics: self.topics(),
            deployments: self.describe_deployments(),
        }
    }

    /// Where the log is corrupt, as far as that was found.
    #[must_use]
    pub fn corrupt(&self) -> Vec<CorruptPlace> {
        let catalog = self.parts().views.catalog();
        let place = |hole: Hole| {
            let lost = hole.lost.iter().map(|lost| CorruptOffsets {
                topic: catalog.shown_topic(lost.partition.topic),
                partition: lost.partition.index,
                from: lost.from,
                to: lost.to,
            });
            let Hole { path, position, bytes, what, .. } = &hole;
            CorruptPlace {
                file: path.clone(),
                position: *position,
                bytes: *bytes,
                what: what.clone(),
                lost: lost.collect(),
            }
        };
        self.parts().log.corrupt().into_iter().map(place).collect()
    }

    /// What the data directory's file system has left for this process; 0 when it does not say.
    #[must_use]
    pub fn disk_free_bytes(&self) -> u64 {
        self.options().storage.available().unwrap_or(0)
    }

    /// How much room the disk has, and with that, what is taken in.
    #[must_use]
    pub fn space_level(&self) -> SpaceLevel {
        self.parts().space_level()
    }
}
