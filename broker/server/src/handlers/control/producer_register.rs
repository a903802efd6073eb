//! `producer.register`.

use logmill_engine::{Engine, Error};
use logmill_model::ProducerName;
use logmill_wire::Response;

pub(super) async fn handle(engine: &Engine, name: Option<ProducerName>) -> Result<Response, Error> {
    engine.register_producer(name).await.map(Response::Producer)
}
