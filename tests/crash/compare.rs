//! What became of inputs, compared by a program that is not this one.

use logmill_tests::outcomes::{Summary, Told};
use logmill_tests::{Broker, Ran};

use crate::LEDGER;

/// Compares what became of a deployment's inputs with what their producers were told: there is no
/// difference.
///
/// # Panics
/// When there is one; what was said of it is told.
pub(crate) async fn no_difference(broker: &Broker, told: &Told, deployment: &str) -> Summary {
    let mut command = LEDGER.command();
    command.arg(&broker.connection().path).arg(told.path()).arg(deployment);
    let ran = Ran::of(&mut command, b"").await.ok();
    let summary: Summary = ran.json_line();
    eprintln!("{deployment}: {summary:?}, compared in {:?}", ran.took);
    summary
}
