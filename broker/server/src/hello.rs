//! The first exchange: version and token. **Until it has gone well, nothing else is read.**

use logmill_model::limits as model;
use logmill_wire::{
    Accepts, ErrorCode, Fault, Frame, Hello, Limits, Message, StreamKind, VERSION, Welcome,
};
use quinn::Connection;

use crate::broker::Broker;
use crate::stream::{FrameReader, FrameWriter};
use crate::token::TokenSet;
use crate::{fault, limits};

/// A client that has shown who it is, and the stream on which it waits for the answer.
pub(crate) struct Greeted {
    pub(crate) client: String,
    pub(crate) writer: FrameWriter,
}

/// A client that is not let in, and the stream on which to tell it, where it opened one.
pub(crate) struct Refused {
    pub(crate) fault: Fault,
    pub(crate) writer: FrameWriter,
}

/// Receives and judges the hello. None when there is nobody to tell.
pub(crate) async fn receive(
    connection: &Connection,
    tokens: &TokenSet,
) -> Result<Greeted, Option<Refused>> {
    let (send, recv) = connection.accept_bi().await.map_err(|_| None)?;
    let writer = FrameWriter::new(send);
    match read(FrameReader::new(recv, Accepts::HELLO), tokens).await {
        Ok(client) => Ok(Greeted { client, writer }),
        Err(fault) => Err(fault.map(|fault| Refused { fault, writer })),
    }
}

async fn read(mut reader: FrameReader, tokens: &TokenSet) -> Result<String, Option<Fault>> {
    let frame = reader.next().await.map_err(|end| fault::of_read(&end))?;
    let Some(Frame::Open(StreamKind::Hello, bytes)) = frame else {
        let text = "the first stream of a connection must begin with a hello";
        return Err(Some(Fault::new(ErrorCode::BadRequest, text)));
    };
    let hello = Hello::from_bytes(&bytes).map_err(|error| fault::of_wire(&error))?;
    Ok(judge(hello, tokens)?)
}

fn judge(hello: Hello, tokens: &TokenSet) -> Result<String, Fault> {
    if hello.version != VERSION {
        let text = format!(
            "this broker speaks version {VERSION} of the protocol, not {}; use a client of the broker's release",
            hello.version
        );
        return Err(Fault::new(ErrorCode::UnsupportedVersion, text));
    }
    if !tokens.accepts(&hello.token) {
        let text = "the token is not one of the broker's; take it from its connection.json";
        return Err(Fault::new(ErrorCode::Unauthenticated, text));
    }
    let max = logmill_wire::limits::CLIENT_NAME_BYTES_MAX;
    if hello.client.len() > max {
        let text = format!("the client's name is longer than {max} bytes");
        return Err(Fault::new(ErrorCode::BadRequest, text));
    }
    Ok(hello.client)
}

/// What a client that was let in is told.
pub(crate) fn welcome(broker: &Broker) -> Welcome {
    Welcome {
        version: VERSION,
        server: env!("CARGO_PKG_VERSION").to_owned(),
        shard: broker.engine.shard(),
        epoch: broker.engine.epoch(),
        limits: Limits {
            record_bytes_max: model::RECORD_BYTES_MAX as u64,
            batch_bytes_max: model::BATCH_BYTES_MAX as u64,
            module_bytes_max: model::MODULE_BYTES_MAX as u64,
            streams_max: limits::STREAMS_MAX,
            produce_bytes_max: limits::PRODUCE_CLIENT_BYTES_MAX as u64,
        },
    }
}
