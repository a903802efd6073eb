//! What all connections share, and what the streams of one client share.

use std::sync::Arc;

use logmill_engine::Engine;
use tokio::sync::{Semaphore, watch};

use crate::Settings;
use crate::admission::Admission;
use crate::border::Border;
use crate::limits;
use crate::room::{self, Room};
use crate::token::TokenSet;
use crate::transport::WindowBudget;

/// What all connections share.
pub(crate) struct Broker {
    pub(crate) engine: Engine,
    pub(crate) tokens: TokenSet,
    pub(crate) admission: Admission,
    pub(crate) border: Border,
    pub(crate) windows: WindowBudget,
    /// Places for modules that are being received, which are the largest things a client sends.
    pub(crate) uploads: Semaphore,
    produce_room: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

/// What the streams of one client share.
pub(crate) struct Client {
    pub(crate) broker: Arc<Broker>,
    pub(crate) room: Room,
}

impl Broker {
    pub(crate) fn new(
        engine: Engine,
        tokens: TokenSet,
        settings: &Settings,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            engine,
            tokens,
            admission: Admission::new(settings.connections_max),
            border: Border::default(),
            windows: WindowBudget::new(settings.window_bytes, settings.connections_max),
            uploads: Semaphore::new(limits::UPLOADS_MAX),
            produce_room: room::of_all(settings.produce_bytes),
            stopping,
        }
    }

    /// Resolves when no new work is to be taken any more.
    pub(crate) async fn stopping(&self) {
        // An error says that the server is gone, which stops this too.
        let _ = self.stopping.clone().wait_for(|stopping| *stopping).await;
    }

    /// Whether no new work is to be taken any more.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }
}

impl Client {
    pub(crate) fn of(broker: Arc<Broker>) -> Self {
        let room = Room::of_client(&broker.produce_room);
        Self { broker, room }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.broker.engine
    }
}
