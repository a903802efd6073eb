//! `topic.ls`: the users' topics, by name.

use logmill_engine::Engine;
use logmill_wire::Response;

pub(super) fn handle(engine: &Engine) -> Response {
    Response::Topics(engine.topics())
}
