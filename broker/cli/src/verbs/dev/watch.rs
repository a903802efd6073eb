//! What can happen while a project is at work, each watched by a task of its own.

use std::io::BufRead as _;
use std::time::Duration;

use logmill_client::{Admin, Client};
use logmill_model::{DeploymentDescription, DeploymentName, ModuleLogLine};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::Failure;
use crate::verbs::module::logs::ModuleLog;

/// How long the broker may hold a question for log lines.
const LOG_WAIT: Duration = Duration::from_secs(10);
/// How often the counts are looked at.
const COUNTS_EVERY: Duration = Duration::from_millis(500);
/// Events that wait to be told; their senders wait for room.
const EVENTS_MAX: usize = 64;

/// What can happen.
pub(super) enum Event {
    /// A module has written to its log.
    Logged(DeploymentName, Vec<ModuleLogLine>),
    /// It was time to look at the deployments.
    Described(Vec<DeploymentDescription>),
    /// The person wants the input to be fed again.
    Again,
    /// The broker could not be asked.
    Failed(Failure),
}

/// Begins to watch. The tasks end when the receiver is dropped.
pub(super) fn start(client: &Client, names: &[DeploymentName]) -> mpsc::Receiver<Event> {
    let (sender, events) = mpsc::channel(EVENTS_MAX);
    for name in names {
        tokio::spawn(follow_log(client.admin(), name.clone(), sender.clone()));
    }
    tokio::spawn(look_at_counts(client.admin(), sender.clone()));
    tokio::task::spawn_blocking(move || read_keys(&sender));
    events
}

async fn follow_log(admin: Admin, name: DeploymentName, events: mpsc::Sender<Event>) {
    let mut log = ModuleLog::new(admin, name.clone());
    loop {
        let event = match log.next(LOG_WAIT).await {
            Ok(lines) if lines.is_empty() => continue,
            Ok(lines) => Event::Logged(name.clone(), lines),
            Err(failure) => Event::Failed(failure),
        };
        let is_last = matches!(event, Event::Failed(_));
        if events.send(event).await.is_err() || is_last {
            return;
        }
    }
}

async fn look_at_counts(admin: Admin, events: mpsc::Sender<Event>) {
    let mut clock = tokio::time::interval(COUNTS_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let event = match admin.deployments().await {
            Ok(deployments) => Event::Described(deployments),
            Err(error) => Event::Failed(error.into()),
        };
        let is_last = matches!(event, Event::Failed(_));
        if events.send(event).await.is_err() || is_last {
            return;
        }
    }
}

/// Lines of stdin. Its end, as when nobody is at the keyboard, ends nothing else.
fn read_keys(events: &mpsc::Sender<Event>) {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        if line.trim() == "r" && events.blocking_send(Event::Again).is_err() {
            return;
        }
    }
}
