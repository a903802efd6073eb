//! `topic.delete`: the topic and its records are gone, durably, when this is answered.

use logmill_engine::{Engine, Error};
use logmill_model::TopicName;
use logmill_wire::Response;

pub(super) async fn handle(engine: &Engine, topic: &TopicName) -> Result<Response, Error> {
    engine.delete_topic(topic).await.map(|()| Response::Done)
}
