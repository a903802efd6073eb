//! Real projects, built as `logmill module new` lays them down: outside the repository, with the
//! SDK carried along, in the target folder that all modules share.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::{Path, PathBuf};

use logmill_build::project::{Deploy, Module, Source};
use logmill_build::{Error, Options, World, build, build_module, vendor};

const CONSUMER: &str = r#"
use logmill_module::prelude::*;

struct Copy;

impl Consumer for Copy {
    fn init(_config: &Config) -> Result<Self> {
        Ok(Self)
    }

    fn handle(&mut self, message: Message) -> Result<Verdict> {
        let text = message.value_text()?;
        Ok(Verdict::done([Output::new().value(text)]))
    }
}

logmill_module::consumer!(Copy);
"#;

const ROUTER: &str = r#"
struct Dice;

impl Router for Dice {
    fn init(_config: &Config) -> Result<Self> {
        Ok(Self)
    }

    fn route(&mut self, _message: Message) -> Result<Vec<Output>> {
        Ok(vec![Output::to(if random::number() % 2 == 0 { "even" } else { "odd" })])
    }
}

logmill_module::router!(Dice);
"#;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn options() -> Options<'static> {
    Options { target_folder: Some(repository().join("target/guests")), ..Options::default() }
}

/// A project of this library, in a place of its own that stays the same, so that the SDK is not
/// built anew each time; with the repository's lock file, so that no other versions are fetched.
fn project(name: &str, library: &str, manifest: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    vendor::lay_into(&folder.join("vendor/logmill")).unwrap();
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("src/lib.rs"), library).unwrap();
    fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let manifest = format!(
        "[package]\nname = \"{name}\"\nedition = \"2024\"\n{manifest}\n\
         [dependencies]\nlogmill-module = {{ path = \"vendor/logmill/sdk/module\" }}\n[workspace]\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    folder
}

const CDYLIB: &str = "[lib]\ncrate-type = [\"cdylib\"]";

fn imports(component: &Path) -> Vec<String> {
    let bytes = fs::read(component).unwrap();
    let decoded = wit_component::decode(&bytes).unwrap();
    let wit_component::DecodedWasm::Component(resolve, world) = decoded else {
        unreachable!("a component was built")
    };
    let imports = resolve.worlds[world].imports.keys();
    imports.map(|key| resolve.name_world_key(key)).collect()
}

#[test]
fn a_project_of_its_own_becomes_a_component_that_imports_only_what_it_calls() {
    let folder = project("test-consumer", CONSUMER, CDYLIB);
    let built = build(&folder, &options()).unwrap();
    assert_eq!(built.worlds, [World::Consumer]);
    assert_eq!(built.bytes, fs::metadata(&built.path).unwrap().len());
    assert!(built.bytes < 64 * 1024, "{} bytes", built.bytes);
    assert_eq!(built.digest.len(), 64);
    let imports = imports(&built.path);
    let allowed = ["logmill:module/types@0.1.0", "logmill:module/log@0.1.0"];
    assert!(imports.iter().all(|import| allowed.contains(&import.as_str())), "{imports:?}");

    let again = build(&folder, &options()).unwrap();
    assert_eq!(again, built, "the same sources make the same bytes");
}

#[test]
fn one_component_may_be_a_consumer_and_a_router() {
    let folder = project("test-both", &format!("{CONSUMER}{ROUTER}"), CDYLIB);
    let built = build(&folder, &options()).unwrap();
    assert_eq!(built.worlds, [World::Consumer, World::Router]);
    assert!(imports(&built.path).contains(&"logmill:module/random@0.1.0".to_owned()));
}

#[test]
fn a_project_that_does_not_compile_shows_what_cargo_says() {
    let folder = project("test-broken", "pub fn broken() -> u8 { \"text\" }", CDYLIB);
    let error = build(&folder, &options()).unwrap_err();
    assert!(matches!(error, Error::Compile { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("mismatched types") && text.contains("src/lib.rs:1:"), "{text}");
    assert!(!text.contains("Compiling"), "{text}");
}

#[test]
fn a_library_that_cannot_become_a_component_says_what_to_write() {
    let folder = project("test-rlib", CONSUMER, "");
    let error = build(&folder, &options()).unwrap_err();
    assert!(matches!(error, Error::NotCdylib { .. }), "{error}");

    for (name, library) in [
        ("test-silent", "//! Exports nothing."),
        ("test-unexported", "pub use logmill_module::prelude::*;"),
    ] {
        let folder = project(name, library, CDYLIB);
        let error = build(&folder, &options()).unwrap_err();
        assert!(matches!(error, Error::NotModule { .. }), "{error}");
    }
}

fn module(folder: &Path, world: World, source: Source) -> Module {
    Module {
        name: "test".to_owned(),
        world: Some(world),
        folder: folder.to_owned(),
        source,
        deploy: Deploy::default(),
        expect: None,
    }
}

#[test]
fn a_component_of_another_language_is_made_by_the_projects_own_command() {
    let folder = project("test-command", CONSUMER, CDYLIB);
    let made = build(&folder, &options()).unwrap();
    let component = folder.join("made.wasm");
    let command = format!("cp {} made.wasm", made.path.display());
    let source = Source::Command { command, component: component.clone() };
    let built = build_module(&module(&folder, World::Consumer, source), &options()).unwrap();
    assert_eq!((built.path, built.digest), (component.clone(), made.digest));

    let source = Source::Component(component.clone());
    let error = build_module(&module(&folder, World::Router, source), &options()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("is a router in logmill.toml, but its component exports consumer"),
        "{text}"
    );

    let source = Source::Command { command: "echo lost >&2; exit 1".to_owned(), component };
    let error = build_module(&module(&folder, World::Consumer, source), &options()).unwrap_err();
    assert!(error.to_string().contains("failed; it says:\nlost"), "{error}");
}
