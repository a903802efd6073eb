//! `topic.create`: the topic is there, durably, when this is answered.

use logmill_engine::{Engine, Error};
use logmill_model::{TopicName, TopicPolicy};
use logmill_wire::Response;

pub(super) async fn handle(
    engine: &Engine,
    topic: &TopicName,
    partitions: u32,
    policy: TopicPolicy,
) -> Result<Response, Error> {
    engine.create_topic(topic, partitions, policy).await.map(Response::Topic)
}
