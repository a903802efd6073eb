//! The QUIC endpoint: who may come in, and who is inside.

use std::sync::Arc;

use quinn::{Endpoint, Incoming};
use tokio::task::{JoinError, JoinSet};
use tracing::{Instrument, debug, error, info_span};

use crate::admission::Verdict;
use crate::broker::Broker;
use crate::{connection, metrics};

/// Takes connections until the broker stops, then waits until those inside have left.
pub(crate) async fn accept(broker: Arc<Broker>, endpoint: Endpoint) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = broker.stopping() => break,
            Some(ended) = connections.join_next() => report(ended),
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => judge(&broker, incoming, &mut connections),
                None => break,
            },
        }
    }
    endpoint.set_server_config(None);
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
}

fn judge(broker: &Arc<Broker>, incoming: Incoming, connections: &mut JoinSet<()>) {
    let peer = incoming.remote_address();
    match broker.admission.judge(peer.ip(), incoming.remote_address_validated()) {
        Verdict::Handshake(place) => {
            let span = info_span!("connection", %peer);
            let served = connection::serve(Arc::clone(broker), incoming, place);
            connections.spawn(served.instrument(span));
        }
        Verdict::Prove => {
            // It may be asked: an address that is not proven always can.
            if let Err(error) = incoming.retry() {
                debug!(%peer, %error, "could not ask for a proof of the address");
            }
        }
        Verdict::Refuse(reason) => {
            debug!(%peer, reason, "connection refused");
            metrics::connection_refused(reason);
            incoming.refuse();
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a connection's task failed");
    }
}
