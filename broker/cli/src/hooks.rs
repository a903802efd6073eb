//! What a program over this library may put in place of the product's own.

/// The product has none of them.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Hooks {}
