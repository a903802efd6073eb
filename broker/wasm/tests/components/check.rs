//! What isn't a component that the broker runs is refused, each for its own reason.

use crate::runtime;
use crate::support::{component, consumer, consumer_text, limits, start};
use logmill_model::World;
use logmill_wasm::{Error, check};

fn refused(bytes: &[u8]) -> Error {
    let error = check(bytes).expect_err("it should have been refused");
    let compiled = runtime().compile(bytes).expect_err("the compiler should refuse it too");
    assert_eq!(
        std::mem::discriminant(&error),
        std::mem::discriminant(&compiled),
        "{error} / {compiled}"
    );
    assert!(!error.is_retryable() && error.has_no_side_effects());
    error
}

fn text(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn a_component_says_what_it_can_be_used_as() {
    let exports = check(&consumer("(i32.const 0)")).unwrap();
    assert_eq!(exports.worlds, [World::Consumer]);
    assert!(exports.imports.contains(&"logmill:module/log@0.1.0".to_owned()), "{exports:?}");
    let module = runtime().compile(&consumer("(i32.const 0)")).unwrap();
    assert_eq!(module.worlds(), exports.worlds);
    assert_eq!(module.imports(), exports.imports);
    assert_eq!(module.bytes(), consumer("(i32.const 0)").len() as u64);
    assert_ne!(module.compile_ms(), 0);
}

#[test]
fn what_is_not_wasm_is_named() {
    for (bytes, looks_like) in [
        (&b""[..], "the file is empty"),
        (b"hello there\nyou", "it looks like text that begins with \"hello there\""),
        (b"{\"a\": \"\xc3\xa9\"}", "it looks like text that begins with"),
        (b"\x7fELF\x02\x01", "it looks like a native program for Linux"),
        (b"\x1f\x8b\x08", "it looks like gzip-compressed data"),
        (b"(component)", "it looks like WebAssembly in its text form"),
        (b"(module)", "it looks like WebAssembly in its text form"),
        (b"\x00\x01\x02\xff", "it begins with the bytes 00 01 02 ff"),
    ] {
        let Error::NotWasm { looks_like: said } = refused(bytes) else { panic!("{bytes:?}") };
        assert!(said.contains(looks_like), "{said:?} / {looks_like:?}");
    }
}

#[test]
fn a_core_module_is_told_from_a_component() {
    let error = refused(&text("(module)"));
    assert!(matches!(error, Error::CoreModule), "{error}");
    assert!(error.to_string().contains("logmill module build"), "{error}");
}

#[test]
fn a_component_without_a_known_export_is_refused_with_both_lists() {
    let error = refused(&text("(component)"));
    assert!(matches!(error, Error::NoKnownExport { .. }), "{error}");
    assert!(error.to_string().contains("exports nothing"), "{error}");
    assert!(error.to_string().contains("logmill:module/router@0.1.0"), "{error}");
    let other = text(
        r#"(component (instance $i) (export "other:package/thing@1.0.0" (instance $i)) (export "plain" (instance $i)))"#,
    );
    let error = refused(&other);
    assert!(error.to_string().contains("other:package/thing@1.0.0, plain"), "{error}");
}

#[test]
fn another_version_of_the_package_is_named() {
    let error = refused(&text(
        r#"(component (instance $i) (export "logmill:module/consumer@0.2.0" (instance $i)))"#,
    ));
    assert!(matches!(error, Error::WrongVersion { .. }), "{error}");
    assert!(error.to_string().contains("consumer@0.2.0"), "{error}");
    assert!(error.to_string().contains("consumer@0.1.0"), "{error}");
}

#[test]
fn an_import_that_is_not_granted_is_named() {
    for import in [
        "wasi:http/outgoing-handler@0.2.0",
        "wasi:clocks/wall-clock@0.3.0",
        "logmill:module/state@0.2.0",
        "logmill:module/secrets@0.1.0",
        "logmill:module/log@0.2.0",
        "acme:things/network@1.0.0",
        "anything",
    ] {
        let bytes = text(&format!(
            r#"(component (import "{import}" (instance)) (instance $i)
                (export "logmill:module/consumer@0.1.0" (instance $i)))"#
        ));
        let error = refused(&bytes);
        let Error::NotGranted { import: named, .. } = &error else { panic!("{error}") };
        assert_eq!(named, import);
    }
    let function = text(
        r#"(component (import "wasi" (func)) (instance $i)
            (export "logmill:module/consumer@0.1.0" (instance $i)))"#,
    );
    assert!(matches!(refused(&function), Error::NotGranted { .. }));
}

#[test]
fn only_consumers_may_remember() {
    for import in ["state", "idempotency"] {
        for world in [World::Router, World::Filter] {
            let bytes = text(&format!(
                r#"(component (import "logmill:module/{import}@0.1.0" (instance)) (instance $i)
                    (export "logmill:module/consumer@0.1.0" (instance $i))
                    (export "logmill:module/{world}@0.1.0" (instance $i)))"#
            ));
            let error = refused(&bytes);
            let Error::OnlyForConsumers { world: named, .. } = &error else { panic!("{error}") };
            assert_eq!(*named, world);
            assert!(error.to_string().contains(import), "{error}");
        }
    }
}

#[test]
fn an_export_of_other_types_is_a_mismatch() {
    let bytes = text(
        r#"(component
            (core module $m (func (export "f") (result i32) (i32.const 0)))
            (core instance $c (instantiate $m))
            (func $f (result u32) (canon lift (core func $c "f")))
            (instance $i (export "init" (func $f)) (export "handle" (func $f)))
            (export "logmill:module/consumer@0.1.0" (instance $i)))"#,
    );
    let error = runtime().compile(&bytes).unwrap_err();
    assert!(matches!(error, Error::Mismatch(_)), "{error}");
    let empty =
        text(r#"(component (instance $i) (export "logmill:module/consumer@0.1.0" (instance $i)))"#);
    let error = runtime().compile(&empty).unwrap_err();
    assert!(matches!(error, Error::Mismatch(_)), "{error}");
}

#[test]
fn an_import_of_other_types_is_a_mismatch() {
    let bytes = text(
        r#"(component
            (import "logmill:module/clock@0.1.0" (instance (export "now" (func (result string)))))
            (instance $i) (export "logmill:module/consumer@0.1.0" (instance $i)))"#,
    );
    let error = runtime().compile(&bytes).unwrap_err();
    assert!(matches!(error, Error::Mismatch(_)), "{error}");
}

#[test]
fn a_later_version_of_the_package_is_taken() {
    let later = consumer("(i32.const 0)");
    let from = b"consumer@0.1.0";
    let mut bytes = later.clone();
    let places: Vec<_> =
        later.windows(from.len()).enumerate().filter(|(_, w)| w == from).map(|(i, _)| i).collect();
    for place in places {
        bytes[place + from.len() - 1] = b'7';
    }
    let module = runtime().compile(&bytes).unwrap();
    assert_eq!(module.worlds(), [World::Consumer]);
    assert!(start(&module, World::Consumer, limits()).unwrap().handle().is_ok());
}

#[test]
fn what_is_cut_off_or_damaged_is_invalid() {
    let whole = consumer("(i32.const 0)");
    for length in (4..whole.len()).step_by(97) {
        let error = check(&whole[..length]).expect_err("a part isn't a component");
        assert!(
            matches!(error, Error::Invalid(_) | Error::NoKnownExport { .. } | Error::CoreModule),
            "{length}: {error}"
        );
    }
    assert!(matches!(check(b"\0asm\x07\0\0\0"), Err(Error::Invalid(_))));
    // No byte may make the checks or the compiler panic.
    let mut damaged = whole.clone();
    for place in (8..whole.len()).step_by(5) {
        damaged[place] ^= 0x55;
        let _ = check(&damaged);
        damaged[place] = whole[place];
    }
}

#[test]
fn a_file_that_is_too_large_is_refused_unread() {
    let error = refused(&vec![0; 64 * 1024 * 1024 + 1]);
    assert!(matches!(error, Error::TooLarge { bytes: 67_108_865 }), "{error}");
}

/// Forty components, each of which instantiates the one before it twice: a trillion instances.
#[test]
fn components_that_double_each_other_are_refused() {
    let mut all = String::from("(component $c0 (core module $m) (core instance (instantiate $m)))");
    for level in 1..40 {
        let below = level - 1;
        all += &format!(
            "(component $c{level}
                (alias outer $root $c{below} (component $below))
                (instance (instantiate $below)) (instance (instantiate $below)))"
        );
    }
    let bytes = text(&format!(
        r#"(component $root {all} (instance (instantiate $c39))
            (instance $i) (export "logmill:module/consumer@0.1.0" (instance $i)))"#
    ));
    assert!(bytes.len() < 10_000);
    let error = refused(&bytes);
    assert!(matches!(error, Error::TooComplex { .. }), "{error}");
}

#[test]
fn a_component_as_an_argument_is_refused() {
    let bytes = text(
        r#"(component
            (component $twice (import "c" (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))
            (component $one) (instance (instantiate $twice (with "c" (component $one))))
            (instance $i) (export "logmill:module/consumer@0.1.0" (instance $i)))"#,
    );
    assert!(matches!(refused(&bytes), Error::TooComplex { .. }));
}

#[test]
fn functions_of_too_many_locals_are_refused() {
    let locals = " i64".repeat(40_000);
    let functions = format!("(func (local{locals}))").repeat(110);
    let bytes = component("consumer-module", &consumer_text(&functions, "(i32.const 0)"));
    let error = refused(&bytes);
    assert!(matches!(error, Error::TooComplex { .. }), "{error}");
}

#[test]
fn a_function_that_is_too_long_is_refused() {
    let body = "(drop (i32.const 1))".repeat(800_000);
    let bytes = consumer(&format!("{body} (i32.const 0)"));
    assert!(matches!(refused(&bytes), Error::TooComplex { .. }));
}
