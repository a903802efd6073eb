//! `module.reset`: the cursors are moved, durably, when this is answered.

use logmill_engine::{Engine, Error};
use logmill_model::ResetRequest;
use logmill_wire::Response;

pub(super) async fn handle(engine: &Engine, request: ResetRequest) -> Result<Response, Error> {
    engine.reset(request).await.map(Response::Moved)
}
