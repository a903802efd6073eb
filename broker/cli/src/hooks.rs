//! What a program over this library may put in place of the product's own.

use std::fmt;
use std::sync::Arc;

use logmill_engine::BeforeCall;
use logmill_log::storage::Storage;
use logmill_model::Message;

type WrapStorage = Arc<dyn Fn(Arc<dyn Storage>) -> Arc<dyn Storage> + Send + Sync>;

/// The product has none of them.
#[derive(Clone, Default)]
pub struct Hooks {
    storage: Option<WrapStorage>,
    before_call: Option<BeforeCall>,
}

impl Hooks {
    /// Puts something between the broker and its data directory: a test's, that fails or kills at
    /// a step of its choice.
    #[must_use]
    pub fn wrap_storage(
        self,
        wrap: impl Fn(Arc<dyn Storage>) -> Arc<dyn Storage> + Send + Sync + 'static,
    ) -> Self {
        Self { storage: Some(Arc::new(wrap)), ..self }
    }

    /// Calls something before each call of a consumer, with its record: a test's, that kills at a record
    /// of its choice.
    #[must_use]
    pub fn call_before(self, before: impl Fn(&Message) + Send + Sync + 'static) -> Self {
        Self { before_call: Some(Arc::new(before)), ..self }
    }

    pub(crate) fn before_call(&self) -> Option<BeforeCall> {
        self.before_call.clone()
    }

    pub(crate) fn storage(&self, storage: Arc<dyn Storage>) -> Arc<dyn Storage> {
        match &self.storage {
            Some(wrap) => wrap(storage),
            None => storage,
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("storage", &self.storage.is_some())
            .field("before_call", &self.before_call.is_some())
            .finish()
    }
}
