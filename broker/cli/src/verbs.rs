//! The verbs, a file each.

pub(crate) mod module;
