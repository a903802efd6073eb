//! One client, from its first packet to its last.

use std::sync::Arc;

use logmill_wire::{ErrorCode, Fault, Frame, StreamKind};
use quinn::{Connection, Incoming, RecvStream, SendStream, VarInt};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{Instrument, debug, debug_span, error};

use crate::admission::{Place, Seat};
use crate::broker::{Broker, Client};
use crate::hello::{self, Greeted, Refused};
use crate::stream::{FrameReader, FrameWriter};
use crate::{fault, handlers, limits, metrics};

/// Shakes hands, hears the hello, and serves the client until it leaves or the broker stops.
pub(crate) async fn serve(broker: Arc<Broker>, incoming: Incoming, place: Place) {
    let deadline = Instant::now() + limits::HELLO_DEADLINE;
    let Some(connection) = shake_hands(incoming, deadline).await else {
        metrics::connection_refused("handshake");
        return;
    };
    let heard = timeout_at(deadline, hello::receive(&connection, &broker.tokens)).await;
    let greeted = match heard {
        Ok(Ok(greeted)) => greeted,
        Ok(Err(Some(Refused { fault, writer }))) => {
            // The stream may tell more than the close, which a client's library may hide.
            let _ = timeout(limits::GOODBYE_DEADLINE, writer.refuse(fault.clone())).await;
            return refuse(&connection, &fault);
        }
        Ok(Err(None)) => return metrics::connection_refused("gone"),
        Err(_) => return refuse(&connection, &Fault::new(ErrorCode::BadRequest, late())),
    };
    match place.into_seat() {
        Some(seat) => serve_client(&broker, &connection, seat, greeted).await,
        None => {
            let full = "all connections that the broker may have are taken; try again later";
            refuse(&connection, &Fault::new(ErrorCode::Overloaded, full));
        }
    }
}

fn refuse(connection: &Connection, fault: &Fault) {
    debug!(code = %fault.code, text = fault.text, "hello refused");
    metrics::connection_refused(fault.code.name());
    close(connection, fault);
}

fn late() -> String {
    let seconds = limits::HELLO_DEADLINE.as_secs();
    format!("no hello came within {seconds} s; the first stream must begin with one")
}

async fn shake_hands(incoming: Incoming, deadline: Instant) -> Option<Connection> {
    let connecting = incoming.accept().inspect_err(|error| debug!(%error, "not accepted")).ok()?;
    match timeout_at(deadline, connecting).await {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(error)) => {
            debug!(%error, "handshake failed");
            None
        }
        Err(_) => {
            debug!("handshake took too long");
            None
        }
    }
}

/// Closes a connection with a fault's number as its code and its text as the reason.
fn close(connection: &Connection, fault: &Fault) {
    connection.close(VarInt::from_u32(fault.code.number().into()), fault.text.as_bytes());
}

async fn serve_client(
    broker: &Arc<Broker>,
    connection: &Connection,
    _seat: Seat,
    greeted: Greeted,
) {
    let Greeted { client: name, mut writer } = greeted;
    let _open = metrics::Open::connection();
    let _window = broker.windows.widen(connection);
    debug!(client = name, "client connected");
    let welcomed = writer.reply(&hello::welcome(broker)).await;
    let mut streams = JoinSet::new();
    if welcomed.is_ok() {
        streams.spawn(writer.finish().in_current_span());
        serve_streams(broker, connection, &mut streams).await;
    }
    while streams.join_next().await.is_some() {}
    if broker.is_stopping() {
        close(connection, &fault::shutting_down());
    }
    debug!(client = name, "client disconnected");
}

/// Takes streams until the client leaves or the broker stops.
async fn serve_streams(broker: &Arc<Broker>, connection: &Connection, streams: &mut JoinSet<()>) {
    let client = Arc::new(Client::of(Arc::clone(broker)));
    loop {
        tokio::select! {
            biased;
            () = broker.stopping() => return,
            Some(ended) = streams.join_next() => {
                if let Err(error) = ended {
                    error!(%error, "a stream's task failed");
                }
            }
            opened = connection.accept_bi() => match opened {
                Ok((send, recv)) => {
                    let span = debug_span!("stream", id = %recv.id());
                    streams.spawn(serve_stream(Arc::clone(&client), send, recv).instrument(span));
                }
                Err(error) => {
                    debug!(%error, "connection ended");
                    return;
                }
            },
        }
    }
}

/// Reads what a stream is for and hands it to its handler.
async fn serve_stream(client: Arc<Client>, send: SendStream, recv: RecvStream) {
    let mut reader = FrameReader::new(recv, logmill_wire::Accepts::OPENINGS);
    let writer = FrameWriter::new(send);
    let (kind, bytes) = match reader.next().await {
        Ok(Some(Frame::Open(kind, bytes))) => (kind, bytes),
        Ok(_) => return,
        Err(end) => {
            if let Some(fault) = fault::of_read(&end) {
                reader.stop(fault.code);
                writer.refuse(fault).await;
            }
            return;
        }
    };
    let _open = metrics::Open::stream(kind);
    match kind {
        StreamKind::Control => handlers::control(&client, &bytes, writer).await,
        StreamKind::Produce => handlers::produce(&client, &bytes, reader, writer).await,
        StreamKind::Subscribe => handlers::subscribe(&client, &bytes, reader, writer).await,
        StreamKind::Upload => handlers::upload(&client, &bytes, reader, writer).await,
        StreamKind::Hello => {
            let text = "a connection has one hello, on its first stream";
            writer.refuse(Fault::new(ErrorCode::BadRequest, text)).await;
        }
    }
}
