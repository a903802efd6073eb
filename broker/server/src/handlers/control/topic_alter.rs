//! `topic.alter`: the policy is changed, durably, when this is answered.

use logmill_engine::{Engine, Error};
use logmill_model::{PolicyChange, TopicName};
use logmill_wire::Response;

pub(super) async fn handle(
    engine: &Engine,
    topic: &TopicName,
    change: &PolicyChange,
) -> Result<Response, Error> {
    engine.alter_topic(topic, change).await.map(Response::Topic)
}
