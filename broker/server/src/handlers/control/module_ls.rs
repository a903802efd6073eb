//! `module.ls`: all deployments, by name.

use logmill_engine::Engine;
use logmill_wire::Response;

pub(super) fn handle(engine: &Engine) -> Response {
    Response::Deployments(engine.describe_deployments())
}
