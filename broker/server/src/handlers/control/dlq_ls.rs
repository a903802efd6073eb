//! `dlq.ls`: which dead letters a deployment has in a partition, without the records.

use std::ops::Range;

use logmill_engine::{Engine, Error};
use logmill_model::{DeploymentName, Offset};
use logmill_wire::Response;

pub(super) async fn handle(
    engine: &Engine,
    name: &DeploymentName,
    partition: u32,
    range: Range<Offset>,
    max: u32,
) -> Result<Response, Error> {
    engine.letters(name, partition, range, max).await.map(Response::Letters)
}
