//! `module.state`: what a deployment's lanes remember, a page at a time.

use logmill_engine::{Engine, Error};
use logmill_model::StateQuery;
use logmill_wire::{Response, limits};

pub(super) async fn handle(engine: &Engine, query: StateQuery) -> Result<Response, Error> {
    let query = StateQuery { max: query.max.min(limits::STATE_ENTRIES_MAX), ..query };
    engine.module_state(&query).await.map(Response::State)
}
