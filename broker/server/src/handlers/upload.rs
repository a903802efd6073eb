//! Upload streams: a module's bytes in, what the broker makes of them out.

use bytes::Bytes;
use logmill_model::limits::MODULE_BYTES_MAX;
use logmill_wire::{ErrorCode, Fault, Message, Response, Upload};
use tokio::time::timeout;
use tracing::debug;

use crate::broker::Client;
use crate::stream::{FrameReader, FrameWriter};
use crate::{fault, limits};

pub(crate) async fn upload(
    client: &Client,
    bytes: &[u8],
    mut reader: FrameReader,
    mut writer: FrameWriter,
) {
    match take_in(client, bytes, &mut reader).await {
        Ok(response) => {
            if writer.reply(&response).await.is_ok() {
                writer.finish().await;
            }
        }
        Err(Some(fault)) => {
            reader.stop(fault.code);
            writer.refuse(fault).await;
        }
        Err(None) => {}
    }
}

async fn take_in(
    client: &Client,
    bytes: &[u8],
    reader: &mut FrameReader,
) -> Result<Response, Option<Fault>> {
    let Upload { length } = Upload::from_bytes(bytes).map_err(|error| fault::of_wire(&error))?;
    let length = usize::try_from(length).ok().filter(|length| *length <= MODULE_BYTES_MAX);
    let length = length.ok_or_else(|| {
        let text = format!("a module has at most {MODULE_BYTES_MAX} bytes");
        Fault::new(ErrorCode::ModuleRefused, text)
    })?;
    // Held while it is compiled, too, which takes more memory than the bytes.
    let _place = tokio::select! {
        biased;
        () = client.broker.stopping() => return Err(Some(fault::shutting_down())),
        place = client.broker.uploads.acquire() => place.expect("this semaphore is never closed"),
    };
    let module = tokio::select! {
        biased;
        () = client.broker.stopping() => return Err(Some(fault::shutting_down())),
        module = timeout(limits::UPLOAD_DEADLINE, receive(reader, length)) => module,
    };
    let module = module.unwrap_or_else(|_| {
        let seconds = limits::UPLOAD_DEADLINE.as_secs();
        Err(Some(Fault::new(
            ErrorCode::BadRequest,
            format!("the upload took more than {seconds} s"),
        )))
    })?;
    let uploaded = client.engine().upload_module(module).await;
    let description = uploaded.map_err(|error| fault::of_engine(&error))?;
    debug!(digest = %description.digest, "module uploaded");
    Ok(Response::Module(description))
}

/// Exactly `length` bytes and the end of the stream.
async fn receive(reader: &mut FrameReader, length: usize) -> Result<Bytes, Option<Fault>> {
    let mut module = Vec::with_capacity(length);
    let differs = |sent: String| {
        let text = format!("the upload was to have {length} bytes, and {sent}");
        Some(Fault::new(ErrorCode::BadRequest, text))
    };
    while let Some(piece) = reader.raw().await.map_err(|end| fault::of_read(&end))? {
        if piece.len() > length - module.len() {
            return Err(differs("more came".to_owned()));
        }
        module.extend_from_slice(&piece);
    }
    if module.len() < length {
        return Err(differs(format!("ended after {}", module.len())));
    }
    Ok(module.into())
}
