//! A running module, called for one record at a time.

use logmill_model::{LogLevel, Message, Output, Timestamp, Verdict, World};

use crate::Failure;

/// What a call is told, and where its log goes.
pub struct CallContext<'a> {
    /// The time of the call; it stands still during it.
    pub now: Timestamp,
    /// The same seed gives the same random bytes.
    pub seed: u64,
    /// Called after the guest returned, once for each line that it wrote, in order.
    pub log: &'a mut dyn FnMut(LogLevel, &str),
}

/// An instance of a module in one world. One call at a time; between calls it may move to another
/// thread.
#[derive(Debug)]
pub struct Instance {
    world: World,
}

impl Instance {
    /// What it is used as.
    #[must_use]
    pub fn world(&self) -> World {
        self.world
    }

    /// Asks a consumer for its verdict on one record.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn handle(&mut self, message: &Message, call: CallContext<'_>) -> Result<Verdict, Failure> {
        Err(self.unwritten(message, call))
    }

    /// Asks a router where a record goes besides its own topic.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn route(
        &mut self,
        message: &Message,
        call: CallContext<'_>,
    ) -> Result<Vec<Output>, Failure> {
        Err(self.unwritten(message, call))
    }

    /// Asks a filter whether its subscriber sees a record.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn matches(&mut self, message: &Message, call: CallContext<'_>) -> Result<bool, Failure> {
        Err(self.unwritten(message, call))
    }

    fn unwritten(&self, _message: &Message, _call: CallContext<'_>) -> Failure {
        Failure {
            reason: logmill_model::FailureReason::Trap,
            detail: "not written".to_owned(),
            instance_lost: true,
        }
    }
}
