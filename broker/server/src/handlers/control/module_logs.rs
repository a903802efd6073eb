//! `module.logs`: lines of a deployment's log, waiting a while for one when there is none.

use std::time::Duration;

use logmill_engine::Error;
use logmill_model::DeploymentName;
use logmill_wire::{Response, limits};
use tokio::time::timeout;

use crate::broker::Client;

pub(super) async fn handle(
    client: &Client,
    name: &DeploymentName,
    after: Option<u64>,
    max: u32,
    wait_ms: u64,
) -> Result<Response, Error> {
    let max = max.min(limits::LOG_LINES_MAX) as usize;
    let lines = client.engine().module_log(name, after, max, false).await?;
    if !lines.is_empty() || wait_ms == 0 || max == 0 {
        return Ok(Response::Log(lines));
    }
    let wait = Duration::from_millis(wait_ms.min(limits::LOG_WAIT_MS_MAX));
    let written = timeout(wait, client.engine().module_log(name, after, max, true));
    tokio::select! {
        () = client.broker.stopping() => Err(Error::ShuttingDown),
        written = written => written.unwrap_or(Ok(Vec::new())).map(Response::Log),
    }
}
