//! `module.resume`: the deployment works again, durably, when this is answered.

use logmill_engine::{Engine, Error};
use logmill_model::DeploymentName;
use logmill_wire::Response;

pub(super) async fn handle(
    engine: &Engine,
    name: &DeploymentName,
    skip_lost: bool,
) -> Result<Response, Error> {
    if skip_lost {
        return engine.resume_skipping_lost(name).await.map(Response::Skipped);
    }
    engine.resume(name).await.map(|()| Response::Done)
}
