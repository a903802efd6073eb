//! Components written by hand, so that these tests need no toolchain for guests: a core module in
//! text form, wrapped by wit-component against the WIT package.

use logmill_model::{LogLevel, Message, ModuleLimits, Offset, Record, Timestamp, World};
use logmill_wasm::{CallContext, Called, Failure, Instance, Limits, Module, SharedMemory};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve, WorldId};

/// A component of one of the package's worlds around the core module `text`.
pub(crate) fn component(world: &str, text: &str) -> Vec<u8> {
    let (resolve, package) = wit();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    encode(&resolve, world, text)
}

/// The WIT package of modules.
pub(crate) fn wit() -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit");
    let (package, _) = resolve.push_dir(folder).unwrap();
    (resolve, package)
}

pub(crate) fn encode(resolve: &Resolve, world: WorldId, text: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap();
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

/// The text of a core module whose `handle` has this body. It gets the address of the message and
/// returns that of a `result<verdict, string>`; the zeros at address 0 are `ok(done([]))`.
///
/// | address | content |
/// |---|---|
/// | 0..64 | zeros |
/// | 64..512 | for the body |
/// | 512..1024 | the text `an error of the guest`, and zeros |
pub(crate) fn consumer_text(items: &str, body: &str) -> String {
    importing_text("", items, body)
}

/// The same with more imports.
pub(crate) fn importing_text(imports: &str, items: &str, body: &str) -> String {
    format!(
        r#"(module
            {imports}
            (import "logmill:module/log@0.1.0" "write" (func $log (param i32 i32 i32)))
            (import "logmill:module/clock@0.1.0" "now" (func $now (result i64)))
            (import "logmill:module/random@0.1.0" "bytes" (func $random (param i32 i32)))
            (memory (export "memory") 2)
            (global $heap (mut i32) (i32.const 4096))
            (data (i32.const 512) "an error of the guest")
            {items}
            (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and
                    (i32.add (global.get $heap) (i32.sub (local.get 2) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get 2))))
                (global.set $heap (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func (export "logmill:module/consumer@0.1.0#init") (param i32 i32) (result i32)
                (i32.const 0))
            (func $handle (export "logmill:module/consumer@0.1.0#handle") (param $message i32) (result i32)
                (local $n i32)
                (global.set $heap (i32.const 4096))
                {body}))"#
    )
}

/// A consumer whose `handle` has this body: see [`consumer_text`].
pub(crate) fn consumer(body: &str) -> Vec<u8> {
    component("consumer-module", &consumer_text("", body))
}

/// An instance and the log of its calls.
pub(crate) struct Guest {
    pub instance: Instance,
    pub log: Vec<(LogLevel, String)>,
}

pub(crate) fn limits() -> Limits {
    ModuleLimits::default().into()
}

pub(crate) fn start(module: &Module, world: World, limits: Limits) -> Result<Guest, Failure> {
    let mut log = Vec::new();
    let mut keep = |level: LogLevel, text: &str| log.push((level, text.to_owned()));
    let call = CallContext { now: Timestamp(1000), seed: 1, log: &mut keep, memory: None };
    let instance = module.instantiate(world, limits, &[], call)?;
    Ok(Guest { instance, log })
}

pub(crate) fn message(value: &'static [u8]) -> Message {
    Message {
        topic: "events".to_owned(),
        partition: 3,
        offset: Some(Offset(7)),
        record: Record {
            key: Some("key".into()),
            value: Some(value.into()),
            headers: vec![logmill_model::Header::new("kind", "push")],
            create_ts: Timestamp(900),
        },
        append_ts: Some(Timestamp(950)),
        attempt: 1,
        first_failed_ts: None,
    }
}

impl Guest {
    pub(crate) fn handle(&mut self) -> Result<logmill_model::Verdict, Failure> {
        let called = self.call(None)?;
        let Called::Verdict(verdict) = called else { unreachable!("there is nobody else") };
        Ok(verdict)
    }

    pub(crate) fn call(&mut self, memory: Option<SharedMemory>) -> Result<Called, Failure> {
        self.log.clear();
        let mut keep = |level: LogLevel, text: &str| self.log.push((level, text.to_owned()));
        let call = CallContext { now: Timestamp(2000), seed: 42, log: &mut keep, memory };
        self.instance.handle(&message(b"value"), call)
    }
}
