//! `module.deploy`: a module becomes a deployment, or the next version of one.

use logmill_engine::{Engine, Error};
use logmill_model::DeployRequest;
use logmill_wire::Response;

pub(super) async fn handle(engine: &Engine, request: DeployRequest) -> Result<Response, Error> {
    engine.deploy(request).await.map(Response::Deployed)
}
