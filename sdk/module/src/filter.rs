//! Modules that say which records a subscriber sees.

use crate::{Config, Message, Result};

/// Says which records a subscriber sees: who reads with `logmill consume TOPIC --filter NAME`.
/// Export it with [`filter!`](crate::filter!).
///
/// ```
/// use logmill_module::prelude::*;
///
/// /// Lets through what has a key.
/// struct Keyed;
///
/// impl Filter for Keyed {
///     fn init(_config: &Config) -> Result<Self> {
///         Ok(Self)
///     }
///
///     fn matches(&mut self, message: Message) -> Result<bool> {
///         Ok(message.key.is_some())
///     }
/// }
///
/// logmill_module::filter!(Keyed);
/// ```
pub trait Filter: Sized {
    /// Makes an instance, before any record.
    ///
    /// # Errors
    /// The deployment then fails with the error's text.
    fn init(config: &Config) -> Result<Self>;

    /// Whether the subscriber sees this record.
    ///
    /// # Errors
    /// The subscription ends with the error's text.
    fn matches(&mut self, message: Message) -> Result<bool>;
}

/// Makes a [`Filter`] what the component exports as `logmill:module/filter`. Once in a crate.
#[macro_export]
macro_rules! filter {
    ($module:ty) => {
        const _: () = {
            const fn is_filter<T: $crate::Filter>() {}
            is_filter::<$module>();

            #[cfg(target_arch = "wasm32")]
            $crate::__export!($module, Filter, filter, export_filter, {
                fn matches(message: $crate::guest::types::Message) -> Result<bool, String> {
                    INSTANCE.with(|instance| {
                        instance.call(|module| $crate::Filter::matches(module, message.into()))
                    })
                }
            });
        };
    };
}
