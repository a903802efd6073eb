//! What was found, in words and in numbers.

use std::collections::BTreeMap;

use logmill_model::TopicName;
use serde::Serialize;

use super::Story;
use super::work::Work;
use crate::Failure;
use crate::verbs::demo::deliveries::{self, Delivery};
use crate::verbs::demo::ledger::{Account, Found, Row, Wait};
use crate::verbs::demo::table;

/// How it ended.
#[derive(Debug, Serialize)]
pub(in crate::verbs::demo) struct Report {
    sent: usize,
    /// How many of these had been sent before.
    sent_again: usize,
    outcomes_before_kill: u64,
    outcomes: Row,
    /// The longest wait of a failing key.
    wait: Wait,
    topics: BTreeMap<TopicName, Row>,
}

impl Story<'_> {
    /// Shows what was found, and fails when anything is off.
    pub(super) fn conclude(
        &mut self,
        found: Found,
        sent: &[Delivery],
        killed: Work,
    ) -> Result<Report, Failure> {
        let Found { mut account, wait } = found;
        self.output.text("")?;
        self.output.table(&table::HEAD, table::rows(&account))?;
        let wait = held_up(wait, &mut account)?;
        if let Some(faults) = account.faults() {
            return Err(anyhow::anyhow!(faults).into());
        }
        let outcomes = account.outcomes();
        self.say(Told { outcomes: &outcomes, wait: &wait })?;
        let (outcomes_before_kill, topics) = (killed.done, account.into_rows());
        let (sent, different) = (sent.len(), deliveries::different(sent));
        let sent_again = sent - different;
        Ok(Report { sent, sent_again, outcomes_before_kill, outcomes, wait, topics })
    }
}

/// A failing key must have held up itself and nobody else, which needs both to be there.
fn held_up(wait: Option<Wait>, account: &mut Account) -> Result<Wait, Failure> {
    let Some(wait) = wait else {
        return Err(anyhow::anyhow!("no record was tried until its attempts ran out").into());
    };
    let key = &wait.key;
    if wait.others_meanwhile == 0 {
        account.wrong(format!("nothing else was handled while {key} waited"));
    }
    if wait.later_of_key == 0 {
        account.wrong(format!("no later record of {key} came after the one that waited"));
    }
    Ok(wait)
}

/// What has been proved, for people.
struct Told<'a> {
    outcomes: &'a Row,
    wait: &'a Wait,
}

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { outcomes, wait } = self;
        writeln!(
            f,
            "\nEach of {} inputs has exactly one outcome: {} done, {} dropped, {} dead-lettered, {} \
             skipped as duplicates.",
            outcomes.inputs,
            outcomes.done(),
            outcomes.dropped,
            outcomes.given_up(),
            outcomes.duplicates,
        )?;
        writeln!(
            f,
            "{} waited {:.1} s for its attempt {}; {} records of other repositories were handled \
             meanwhile, and {} later ones of its own after it. No record was overtaken by a later one \
             of its repository.",
            wait.key,
            wait.waited_ms as f64 / 1000.0,
            wait.attempt,
            wait.others_meanwhile,
            wait.later_of_key,
        )?;
        write!(
            f,
            "{} dead letters were redriven to the mended module: each has its output once, in order.",
            outcomes.redriven
        )
    }
}
