//! `status`: the broker at a glance.

use logmill_engine::Engine;
use logmill_wire::Response;

pub(super) fn handle(engine: &Engine) -> Response {
    Response::Status(Box::new(engine.status()))
}
