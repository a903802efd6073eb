//! The verbs, a file each.

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod clock;
pub(crate) mod consume;
pub(crate) mod demo;
pub(crate) mod dev;
pub(crate) mod dlq;
pub(crate) mod inspect;
pub(crate) mod module;
pub(crate) mod produce;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod topic;
pub(crate) mod trace;
