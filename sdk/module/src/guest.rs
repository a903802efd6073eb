//! Between a component's exports and imports and the plain types: the only file that knows the
//! raw bindings. Hidden from the docs; the exporting macros use it.

use std::cell::RefCell;
use std::panic;

use crate::bindings::common::logmill::module::{clock, log, random};
use crate::bindings::memory::logmill::module::{idempotency, state};
use crate::log::Level;
use crate::{Claim, Config, Header, Message, Output, Position, Result, Retry, Verdict};

pub use crate::bindings::common::logmill::module::types;
pub use crate::bindings::{consumer, filter, router};

/// A module that `init` makes and that is then called. Guests have one thread.
pub struct Instance<T>(RefCell<Option<T>>);

impl<T> Instance<T> {
    /// Before `init`.
    #[must_use]
    pub const fn empty() -> Self {
        Self(RefCell::new(None))
    }

    /// Makes the module.
    pub fn init(
        &self,
        config: types::Config,
        init: impl FnOnce(&Config) -> Result<T>,
    ) -> Result<(), String> {
        // Else a panic would be a trap without a word.
        panic::set_hook(Box::new(|panic| write_log(Level::Error, &panic.to_string())));
        let module = init(&config.into_iter().collect()).map_err(|error| error.to_string())?;
        self.0.replace(Some(module));
        Ok(())
    }

    /// Calls the module.
    pub fn call<A>(&self, work: impl FnOnce(&mut T) -> Result<A>) -> Result<A, String> {
        let mut module = self.0.borrow_mut();
        let module = module.as_mut().ok_or("called before init")?;
        work(module).map_err(|error| error.to_string())
    }
}

/// What the three exporting macros have in common.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($module:ty, $trait:ident, $world:ident, $export:ident, { $($call:tt)* }) => {
        std::thread_local! {
            static INSTANCE: $crate::guest::Instance<$module> =
                const { $crate::guest::Instance::empty() };
        }

        struct Export;

        impl $crate::guest::$world::exports::logmill::module::$world::Guest for Export {
            fn init(config: $crate::guest::types::Config) -> Result<(), String> {
                INSTANCE.with(|instance| instance.init(config, <$module as $crate::$trait>::init))
            }

            $($call)*
        }

        $crate::guest::$world::$export!(Export with_types_in $crate::guest::$world);
    };
}

pub(crate) fn write_log(level: Level, text: &str) {
    let level = match level {
        Level::Trace => log::Level::Trace,
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    };
    log::write(level, text);
}

pub(crate) fn now_ms() -> u64 {
    clock::now()
}

pub(crate) fn random_bytes(count: u32) -> Vec<u8> {
    random::bytes(count)
}

pub(crate) fn state_get(key: &str) -> Option<Vec<u8>> {
    state::get(key)
}

pub(crate) fn state_set(key: &str, value: &[u8]) {
    state::set(key, value);
}

pub(crate) fn state_delete(key: &str) {
    state::delete(key);
}

pub(crate) fn claim_key(key: &str) -> Claim {
    match idempotency::claim_key(key) {
        idempotency::Claim::First => Claim::First,
        idempotency::Claim::Seen(types::Position { topic, partition, offset }) => {
            Claim::Seen(Position { topic, partition, offset })
        }
    }
}

impl From<types::Message> for Message {
    fn from(message: types::Message) -> Self {
        Self {
            topic: message.topic,
            partition: message.partition,
            offset: message.offset,
            key: message.key,
            value: message.value,
            headers: message
                .headers
                .into_iter()
                .map(|(name, value)| Header { name, value })
                .collect(),
            create_time_ms: message.create_time,
            append_time_ms: message.append_time,
            attempt: message.attempt,
            first_failed_time_ms: message.first_failed_time,
        }
    }
}

impl From<Output> for types::Output {
    fn from(output: Output) -> Self {
        Self {
            topic: output.topic,
            key: output.key,
            value: output.value,
            headers: output.headers.into_iter().map(|header| (header.name, header.value)).collect(),
        }
    }
}

/// The outputs as the broker reads them.
#[must_use]
pub fn outputs(outputs: Vec<Output>) -> Vec<types::Output> {
    outputs.into_iter().map(Into::into).collect()
}

impl From<Verdict> for types::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Done(list) => Self::Done(outputs(list)),
            Verdict::Retry(Retry { after, reason }) => Self::Retry(types::RetryRequest {
                // The broker refuses what is beyond seven days.
                after_ms: after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
                reason,
            }),
            Verdict::DeadLetter(reason) => Self::DeadLetter(reason),
            Verdict::Drop(reason) => Self::Drop(reason),
        }
    }
}
