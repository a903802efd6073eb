//! Modules that give each record of their topics a verdict.

use crate::{Config, Message, Result, Verdict};

/// Gives each record of its topics a [`Verdict`]. Export it with [`consumer!`](crate::consumer!).
///
/// ```
/// use logmill_module::prelude::*;
///
/// /// Copies what is not empty to the deployment's only output.
/// struct Copy;
///
/// impl Consumer for Copy {
///     fn init(_config: &Config) -> Result<Self> {
///         Ok(Self)
///     }
///
///     fn handle(&mut self, message: Message) -> Result<Verdict> {
///         match message.value {
///             Some(value) => Ok(Verdict::done([Output::new().value(value)])),
///             None => Ok(Verdict::drop("a tombstone")),
///         }
///     }
/// }
///
/// logmill_module::consumer!(Copy);
/// ```
pub trait Consumer: Sized {
    /// Makes an instance, before any record. What it keeps lasts until the instance is replaced:
    /// at a new version, a restart, or a trap. It is a cache, never the truth.
    ///
    /// # Errors
    /// The deployment then fails with the error's text.
    fn init(config: &Config) -> Result<Self>;

    /// Handles one record.
    ///
    /// # Errors
    /// A failed attempt, with the error's text as its detail; the instance lives on. So is a
    /// panic, and the instance is then replaced.
    fn handle(&mut self, message: Message) -> Result<Verdict>;
}

/// Makes a [`Consumer`] what the component exports as `logmill:module/consumer`. Once in a crate.
#[macro_export]
macro_rules! consumer {
    ($module:ty) => {
        const _: () = {
            const fn is_consumer<T: $crate::Consumer>() {}
            is_consumer::<$module>();

            #[cfg(target_arch = "wasm32")]
            $crate::__export!($module, Consumer, consumer, export_consumer, {
                fn handle(
                    message: $crate::guest::types::Message,
                ) -> Result<$crate::guest::types::Verdict, String> {
                    INSTANCE.with(|instance| {
                        instance.call(|module| {
                            $crate::Consumer::handle(module, message.into()).map(Into::into)
                        })
                    })
                }
            });
        };
    };
}
