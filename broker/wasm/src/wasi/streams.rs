//! WASI's streams: standard output and standard error are the module's log.

use bytes::Bytes;
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::cli::{stderr, stdout};
use wasmtime_wasi::p2::bindings::io::streams as theirs;
use wasmtime_wasi::p2::bindings::io::streams::{
    Host as TheirStreams, HostInputStream as TheirInput, HostOutputStream as TheirOutput,
};
use wasmtime_wasi::p2::bindings::sync::io::streams;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, OutputStream, Pollable, StreamError, StreamResult,
};

use super::clocks::now_or_never;
use crate::host::Host;
use crate::lines::{Printed, SharedLines};
use crate::offence::Offence;

/// Most bytes that are printed at once.
const PRINT_BYTES_MAX: usize = 64 << 10;

/// A stream into the module's log.
struct Print {
    to: Printed,
    lines: SharedLines,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Print {
    async fn ready(&mut self) {}
}

impl OutputStream for Print {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.lines.lock().print(self.to, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PRINT_BYTES_MAX)
    }
}

impl Host {
    fn print_stream(&mut self, to: Printed) -> Result<Resource<DynOutputStream>> {
        let stream: DynOutputStream = Box::new(Print { to, lines: self.lines.clone() });
        Ok(self.table().push(stream)?)
    }
}

impl stdout::Host for Host {
    fn get_stdout(&mut self) -> Result<Resource<DynOutputStream>> {
        self.print_stream(Printed::Out)
    }
}

impl stderr::Host for Host {
    fn get_stderr(&mut self) -> Result<Resource<DynOutputStream>> {
        self.print_stream(Printed::Err)
    }
}

/// The answer of a stream, all of which are ready at once: nothing else is ever handed out.
fn at_once<T>(answer: Option<StreamResult<T>>) -> StreamResult<T> {
    answer.unwrap_or_else(|| Err(StreamError::Trap(Offence::WaitForever.into())))
}

impl streams::Host for Host {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<streams::StreamError> {
        Ok(match TheirStreams::convert_stream_error(self.table(), error)? {
            theirs::StreamError::LastOperationFailed(error) => {
                streams::StreamError::LastOperationFailed(error)
            }
            theirs::StreamError::Closed => streams::StreamError::Closed,
        })
    }
}

impl streams::HostOutputStream for Host {
    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        TheirOutput::check_write(self.table(), stream)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        TheirOutput::write(self.table(), stream, bytes)
    }

    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        at_once(now_or_never(TheirOutput::blocking_write_and_flush(self.table(), stream, bytes)))
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        TheirOutput::flush(self.table(), stream)
    }

    fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        at_once(now_or_never(TheirOutput::blocking_flush(self.table(), stream)))
    }

    fn subscribe(&mut self, stream: Resource<DynOutputStream>) -> Result<Resource<DynPollable>> {
        TheirOutput::subscribe(self.table(), stream)
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        TheirOutput::write_zeroes(self.table(), stream, len)
    }

    fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        len: u64,
    ) -> StreamResult<()> {
        let table = self.table();
        at_once(now_or_never(TheirOutput::blocking_write_zeroes_and_flush(table, stream, len)))
    }

    fn splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        TheirOutput::splice(self.table(), to, from, len)
    }

    fn blocking_splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        at_once(now_or_never(TheirOutput::blocking_splice(self.table(), to, from, len)))
    }

    fn drop(&mut self, stream: Resource<DynOutputStream>) -> Result<()> {
        now_or_never(TheirOutput::drop(self.table(), stream)).unwrap_or(Ok(()))
    }
}

impl streams::HostInputStream for Host {
    fn read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        TheirInput::read(self.table(), stream, len)
    }

    fn blocking_read(
        &mut self,
        stream: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<Vec<u8>> {
        at_once(now_or_never(TheirInput::blocking_read(self.table(), stream, len)))
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        TheirInput::skip(self.table(), stream, len)
    }

    fn blocking_skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        at_once(now_or_never(TheirInput::blocking_skip(self.table(), stream, len)))
    }

    fn subscribe(&mut self, stream: Resource<DynInputStream>) -> Result<Resource<DynPollable>> {
        TheirInput::subscribe(self.table(), stream)
    }

    fn drop(&mut self, stream: Resource<DynInputStream>) -> Result<()> {
        now_or_never(TheirInput::drop(self.table(), stream)).unwrap_or(Ok(()))
    }
}
