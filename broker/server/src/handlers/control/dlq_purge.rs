//! `dlq.purge`: the letters are marked, durably, when this is answered.

use logmill_engine::{Engine, Error};
use logmill_model::{DeploymentName, Offset};
use logmill_wire::Response;

pub(super) async fn handle(
    engine: &Engine,
    name: &DeploymentName,
    partition: u32,
    offsets: &[Offset],
) -> Result<Response, Error> {
    engine.purge_letters(name, partition, offsets).await.map(Response::Marked)
}
