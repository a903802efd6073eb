//! `topic.describe`: one topic, with the ends of its partitions.

use logmill_engine::{Engine, Error};
use logmill_model::TopicName;
use logmill_wire::Response;

pub(super) fn handle(engine: &Engine, topic: &TopicName) -> Result<Response, Error> {
    engine.topic(topic).map(Response::Topic)
}
