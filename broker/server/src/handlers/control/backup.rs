//! `backup`: answered when the copy is whole and durable.

use logmill_engine::{Engine, Error};
use logmill_wire::Response;

pub(super) async fn handle(engine: &Engine, to: String) -> Result<Response, Error> {
    engine.backup(to.into()).await.map(Response::Backup)
}
