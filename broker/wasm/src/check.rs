//! Says whether bytes are a component that the broker would run, and if not, why.

use logmill_model::World;

use crate::Error;

/// What a component offers and wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exports {
    /// What it can be used as; never empty.
    pub worlds: Vec<World>,
    /// The interfaces it imports, as `package:name/interface@version`.
    pub imports: Vec<String>,
}

/// Checks bytes without compiling them.
///
/// # Errors
/// Each way to be refused is a variant of its own: see [`Error`].
pub fn check(bytes: &[u8]) -> Result<Exports, Error> {
    let _ = bytes;
    Err(Error::Invalid("check is not written".to_owned()))
}
