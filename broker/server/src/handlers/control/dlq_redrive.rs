//! `dlq.redrive`: the letters are marked and their lanes have the records, durably, when this is
//! answered.

use logmill_engine::{Engine, Error};
use logmill_model::{DeploymentName, Offset};
use logmill_wire::Response;

pub(super) async fn handle(
    engine: &Engine,
    name: &DeploymentName,
    partition: u32,
    offsets: &[Offset],
    dry_run: bool,
) -> Result<Response, Error> {
    engine.redrive(name, partition, offsets, dry_run).await.map(Response::Marked)
}
