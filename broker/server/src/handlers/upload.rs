//! Upload streams: a module's bytes in, what the broker makes of them out. The new value of a dead letter
//! comes in like that as well: it may be larger than a request.

use bytes::Bytes;
use logmill_model::LetterEdit;
use logmill_model::limits::{MODULE_BYTES_MAX, RECORD_BYTES_MAX};
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
    let Upload { length, edit } =
        Upload::from_bytes(bytes).map_err(|error| fault::of_wire(&error))?;
    if let Some(edit) = edit {
        return take_value(client, edit, length, reader).await;
    }
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

/// Takes a value in, within the room that a batch would take, and edits the letter.
async fn take_value(
    client: &Client,
    edit: LetterEdit,
    length: u64,
    reader: &mut FrameReader,
) -> Result<Response, Option<Fault>> {
    let length = usize::try_from(length).ok().filter(|length| *length <= RECORD_BYTES_MAX);
    let length = length.ok_or_else(|| {
        let text = format!("a record has at most {RECORD_BYTES_MAX} bytes");
        Fault::new(ErrorCode::RecordTooLarge, text)
    })?;
    let value = async {
        let room = client.room.reserve().await;
        receive(reader, length).await.map(|value| (value, room))
    };
    let (value, _room) = tokio::select! {
        biased;
        () = client.broker.stopping() => return Err(Some(fault::shutting_down())),
        value = value => value?,
    };
    let edited = client.engine().edit_letter(&edit, value).await;
    edited.map(Response::Edited).map_err(|error| Some(fault::of_engine(&error)))
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
