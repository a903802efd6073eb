//! `clock.accept`: the wall clock is believed again.

use logmill_engine::Engine;
use logmill_wire::Response;

pub(super) fn handle(engine: &Engine) -> Response {
    engine.accept_clock();
    Response::Done
}
