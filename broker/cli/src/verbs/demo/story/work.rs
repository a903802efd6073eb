//! The consumers work, and are watched.

use std::time::{Duration, Instant};

use logmill_client::Client;
use logmill_model::{DeploymentDescription, DeploymentStatus};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Story;
use crate::Failure;
use crate::verbs::demo::progress::Progress;
use crate::verbs::module::ls;

/// How long each part of the work may take.
const WORK_WITHIN: Duration = Duration::from_secs(120);
/// How often the broker is asked how far it is: often, so that the kill comes in the middle.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How far the consumers are.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Work {
    /// Outcomes that there are.
    pub(super) done: u64,
    /// Outcomes that there will be.
    pub(super) total: u64,
}

impl Work {
    fn add(&mut self, consumer: &DeploymentDescription) {
        let counts = &consumer.counts;
        self.done += counts.done + counts.dropped + counts.dead_lettered + counts.duplicates;
    }
}

impl Story<'_> {
    /// Lets the consumers work until a third of the outcomes is there.
    pub(super) async fn work_until_a_third(&mut self, client: &Client) -> Result<Work, Failure> {
        let admin = client.admin();
        let mut total = 0;
        for name in &self.consumers {
            total += ls::lag(&admin.deployment(name.clone()).await?);
        }
        self.say(format_args!("Resuming the consumers: {total} records wait for them"))?;
        for name in &self.consumers {
            admin.resume(name.clone()).await?;
        }
        self.wait(client, total, |work| work.done * 3 >= total).await
    }

    /// Lets them work until all outcomes are there.
    pub(super) async fn work_to_the_end(
        &mut self,
        client: &Client,
        total: u64,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        self.wait(client, total, |work| work.done >= total).await?;
        self.say(format_args!("No record is left after {:.1?}", started.elapsed()))
    }

    /// Looks again and again until it is enough.
    async fn wait(
        &self,
        client: &Client,
        total: u64,
        is_enough: impl Fn(&Work) -> bool,
    ) -> Result<Work, Failure> {
        let mut progress = Progress::new("outcomes", total);
        let mut clock = interval(LOOK_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let waiting = async {
            loop {
                clock.tick().await;
                let work = self.look(client, total).await?;
                progress.set(work.done);
                if is_enough(&work) {
                    return Ok(work);
                }
            }
        };
        timeout(WORK_WITHIN, waiting).await.unwrap_or_else(|_| {
            let seconds = WORK_WITHIN.as_secs();
            Err(anyhow::anyhow!("the consumers did not get through it within {seconds} s").into())
        })
    }

    /// How far the consumers are, by the broker's durable counts.
    pub(super) async fn look(&self, client: &Client, total: u64) -> Result<Work, Failure> {
        let mut work = Work { done: 0, total };
        for name in &self.consumers {
            let consumer = client.admin().deployment(name.clone()).await?;
            if consumer.state == DeploymentStatus::Failed {
                let reason = consumer.reason.unwrap_or_default();
                return Err(anyhow::anyhow!("the consumer {name} has failed: {reason}").into());
            }
            work.add(&consumer);
        }
        Ok(work)
    }
}
