//! What a program over this library may put in place of the product's own.

use std::fmt;
use std::sync::Arc;

use logmill_log::storage::Storage;

type WrapStorage = Arc<dyn Fn(Arc<dyn Storage>) -> Arc<dyn Storage> + Send + Sync>;

/// The product has none of them.
#[derive(Clone, Default)]
pub struct Hooks {
    storage: Option<WrapStorage>,
}

impl Hooks {
    /// Puts something between the broker and its data directory: a test's, that fails or kills at
    /// a step of its choice.
    #[must_use]
    pub fn wrap_storage(
        self,
        wrap: impl Fn(Arc<dyn Storage>) -> Arc<dyn Storage> + Send + Sync + 'static,
    ) -> Self {
        Self { storage: Some(Arc::new(wrap)) }
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
        f.debug_struct("Hooks").field("storage", &self.storage.is_some()).finish()
    }
}
