//! `trace`: what became of a record.

use logmill_engine::{Engine, Error};
use logmill_model::{Offset, TopicName};
use logmill_wire::Response;

pub(super) async fn handle(
    engine: &Engine,
    topic: &TopicName,
    partition: u32,
    offset: Offset,
) -> Result<Response, Error> {
    engine.trace(topic, partition, offset).await.map(Response::Trace)
}
