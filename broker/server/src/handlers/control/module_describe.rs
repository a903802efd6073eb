//! `module.describe`: one deployment, with its lanes and counts.

use logmill_engine::{Engine, Error};
use logmill_model::DeploymentName;
use logmill_wire::Response;

pub(super) fn handle(engine: &Engine, name: &DeploymentName) -> Result<Response, Error> {
    engine.describe_deployment(name).map(|it| Response::Deployment(Box::new(it)))
}
