//! `topic.create`: the topic is there, durably, when this is answered.

use logmill_engine::{Engine, Error};
use logmill_model::TopicName;
use logmill_wire::Response;

pub(super) async fn handle(
    engine: &Engine,
    topic: &TopicName,
    partitions: u32,
) -> Result<Response, Error> {
    engine.create_topic(topic, partitions).await.map(Response::Topic)
}
