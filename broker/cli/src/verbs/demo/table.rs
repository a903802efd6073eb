//! The demo's table: what lies in each topic and became of it.

use super::ledger::{Account, Row};

pub(super) const HEAD: [&str; 8] = [
    "topic",
    "records",
    "outputs",
    "retried",
    "dropped",
    "duplicates",
    "dead-lettered",
    "redriven",
];

/// A row for each topic; a number that says nothing of a topic is left out.
pub(super) fn rows(account: &Account) -> Vec<Vec<String>> {
    account.rows().iter().map(|(topic, row)| cells(topic.as_str(), row)).collect()
}

fn cells(topic: &str, row: &Row) -> Vec<String> {
    let number = |number: u64| if number == 0 { String::new() } else { number.to_string() };
    let reasons = row.dead_lettered.iter().map(|(reason, count)| format!("{count} {reason}"));
    vec![
        topic.to_owned(),
        row.records.to_string(),
        number(row.outputs),
        number(row.retried),
        number(row.dropped),
        number(row.duplicates),
        reasons.collect::<Vec<_>>().join(", "),
        number(row.redriven),
    ]
}
