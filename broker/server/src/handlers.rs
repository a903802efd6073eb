//! What clients can ask for, one verb a file. A handler reads what its stream brings, asks the
//! engine, and answers; it decides nothing that outlives the stream.

mod control;
mod produce;
mod subscribe;
mod upload;

pub(crate) use control::control;
pub(crate) use produce::produce;
pub(crate) use subscribe::subscribe;
pub(crate) use upload::upload;
