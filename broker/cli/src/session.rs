//! What every command has at hand: stdout and the way to the broker.

use crate::{Hooks, Output};

/// One run of a command.
#[derive(Debug)]
pub struct Session {
    pub(crate) output: Output,
    pub(crate) connect: Option<String>,
    pub(crate) hooks: Hooks,
}

impl Session {
    pub(crate) fn new(output: Output, connect: Option<String>, hooks: Hooks) -> Self {
        Self { output, connect, hooks }
    }
}
