//! Modules that say where a record goes when it is produced.

use crate::{Config, Message, Output, Result};

/// Says, when a record is produced, where it goes besides its own topic. The record itself always
/// stays in the topic it was produced to; what the router returns is appended in the same durable
/// step. Export it with [`router!`](crate::router!).
///
/// ```
/// use logmill_module::prelude::*;
///
/// /// Sends a record on to the topic that its header names.
/// struct ByHeader;
///
/// impl Router for ByHeader {
///     fn init(_config: &Config) -> Result<Self> {
///         Ok(Self)
///     }
///
///     fn route(&mut self, message: Message) -> Result<Vec<Output>> {
///         let Some(topic) = message.header_text("to") else { return Ok(vec![]) };
///         Ok(vec![Output { value: message.value.clone(), ..Output::to(topic) }])
///     }
/// }
///
/// logmill_module::router!(ByHeader);
///
/// let mut router = ByHeader::init(&Config::default())?;
/// let routed = router.route(Message::new("hello").with_header("to", "greetings"))?;
/// assert_eq!(routed, [Output::to("greetings").value("hello")]);
/// assert_eq!(router.route(Message::new("hello"))?, []);
/// # Ok::<(), Error>(())
/// ```
pub trait Router: Sized {
    /// Makes an instance, before any record.
    ///
    /// # Errors
    /// The deployment then fails with the error's text.
    fn init(config: &Config) -> Result<Self>;

    /// Routes one record. The message has no offset and no append time yet. No output leaves the
    /// record where it was produced, or refuses its batch, as the deployment's `--unrouted` says.
    ///
    /// # Errors
    /// The producer's whole batch is refused with the error's text and the record's index.
    fn route(&mut self, message: Message) -> Result<Vec<Output>>;
}

/// Makes a [`Router`] what the component exports as `logmill:module/router`. Once in a crate.
#[macro_export]
macro_rules! router {
    ($module:ty) => {
        const _: () = {
            const fn is_router<T: $crate::Router>() {}
            is_router::<$module>();

            #[cfg(target_arch = "wasm32")]
            $crate::__export!($module, Router, router, export_router, {
                fn route(
                    message: $crate::guest::types::Message,
                ) -> Result<Vec<$crate::guest::types::Output>, String> {
                    INSTANCE.with(|instance| {
                        instance.call(|module| {
                            $crate::Router::route(module, message.into())
                                .map($crate::guest::outputs)
                        })
                    })
                }
            });
        };
    };
}
