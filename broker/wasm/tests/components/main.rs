//! The crate from outside, with components written by hand.

mod cache;
mod check;
mod limits;
mod support;
