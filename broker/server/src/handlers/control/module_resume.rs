//! `module.resume`: the deployment works again, durably, when this is answered.

use logmill_engine::{Engine, Error};
use logmill_model::DeploymentName;
use logmill_wire::Response;

pub(super) async fn handle(engine: &Engine, name: &DeploymentName) -> Result<Response, Error> {
    engine.resume(name).await.map(|()| Response::Done)
}
