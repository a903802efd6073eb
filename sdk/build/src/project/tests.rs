//! The project file, as tables of what is read and what is refused.

use super::*;

fn parse(text: &str) -> Project {
    Project::parse(text, Path::new("/p")).unwrap()
}

const TRIAGE: &str = r#"
name = "triage"
world = "consumer"
input = { file = "input.ndjson", topic = "github.events", key = "/a/b", value = "/payload", headers = { event = "/event" }, idempotency-key = "/delivery" }
[deploy]
on = ["github.events"]
out = ["issues=issues.opened", "alerts"]
from = "earliest"
max_attempts = 3
order = "key"
max_parked = 7
backoff = "fixed:1s"
dlq = "lost"
idempotency = "header:delivery"
idempotency_window = "48h"
memory = "64MiB"
deadline = "250ms"
paused = true
[deploy.config]
team = "core"
limit = 20
strict = true
[expect]
file = "expected.ndjson"
"#;

#[test]
fn a_file_of_one_module_says_everything_about_it() {
    let project = parse(TRIAGE);
    let module = Module {
        name: "triage".into(),
        world: Some(World::Consumer),
        folder: "/p".into(),
        source: Source::Cargo,
        deploy: Deploy {
            on: Some(vec!["github.events".into()]),
            out: Some(vec![
                Grant { alias: Some("issues".into()), topic: "issues.opened".into() },
                Grant { alias: None, topic: "alerts".into() },
            ]),
            config: Some(vec![
                ("limit".into(), "20".into()),
                ("strict".into(), "true".into()),
                ("team".into(), "core".into()),
            ]),
            from: Some("earliest".into()),
            max_attempts: Some(3),
            order: Some("key".to_owned()),
            max_parked: Some(7),
            backoff: Some("fixed:1s".into()),
            dlq: Some("lost".into()),
            idempotency: Some("header:delivery".into()),
            idempotency_window_ms: Some(48 * 3_600_000),
            unrouted: None,
            memory_bytes: Some(64 << 20),
            deadline_ms: Some(250),
            paused: Some(true),
        },
        expect: Some("/p/expected.ndjson".into()),
    };
    assert_eq!(project.module("triage"), Some(&module));
    assert_eq!(project.modules, [module]);
    assert_eq!(
        project.input,
        Some(Input {
            file: "/p/input.ndjson".into(),
            topic: "github.events".into(),
            key: Some("/a/b".into()),
            value: Some("/payload".into()),
            headers: vec![("event".into(), "/event".into())],
            idempotency_key: Some("/delivery".into()),
        })
    );
}

#[test]
fn what_is_not_said_is_none() {
    let project = parse("name = \"a\"");
    assert_eq!(project.input, None);
    let module = &project.modules[0];
    assert_eq!((module.world, &module.deploy), (None, &Deploy::default()));
}

#[test]
fn a_file_of_several_modules_says_where_each_is() {
    let project = parse(
        r#"
[[module]]
name = "route"
world = "router"
path = "router"
[module.deploy]
on = ["a"]
unrouted = "refuse"
[[module]]
name = "triage"
path = "consumer"
[module.deploy.config]
team = "core"
[module.expect]
file = "expected.ndjson"
"#,
    );
    let [route, triage] = &project.modules[..] else { unreachable!("two modules are written") };
    assert_eq!((route.world, &*route.folder), (Some(World::Router), Path::new("/p/router")));
    assert_eq!(route.deploy.unrouted.as_deref(), Some("refuse"));
    assert_eq!(triage.deploy.config, Some(vec![("team".into(), "core".into())]));
    assert_eq!(triage.expect.as_deref(), Some(Path::new("/p/expected.ndjson")));
}

#[test]
fn a_component_may_come_from_elsewhere() {
    for (text, source) in [
        ("component = \"a.wasm\"", Source::Component("/p/a.wasm".into())),
        (
            "build = \"make it\"\ncomponent = \"a.wasm\"",
            Source::Command { command: "make it".into(), component: "/p/a.wasm".into() },
        ),
    ] {
        assert_eq!(parse(&format!("name = \"a\"\n{text}")).modules[0].source, source);
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (text, part) in [
        ("", "neither a `name` nor a `[[module]]`"),
        ("name = ", "TOML parse error at line 1"),
        ("name = \"a\"\ncolour = 1", "unknown field `colour`"),
        ("name = \"a\"\nworld = \"sink\"", "unknown variant `sink`"),
        ("name = \"a\"\nbuild = \"make\"", "has a `build` but no `component`"),
        ("name = \"a\"\n[deploy]\nmax-attempts = 3", "unknown field `max-attempts`"),
        ("name = \"a\"\n[deploy]\ninstance = \"fresh\"", "unknown field `instance`"),
        ("name = \"a\"\n[deploy]\nmax_attempts = -1", "max_attempts"),
        ("name = \"a\"\n[deploy]\nmemory = \"64 MB\"", "bad size \"64 MB\""),
        ("name = \"a\"\n[deploy]\ndeadline = \"1\"", "bad time \"1\""),
        ("name = \"a\"\n[deploy]\nunrouted = \"drop\"", "unknown variant `drop`"),
        ("name = \"a\"\n[deploy.config]\nteam = [1]", "text, a number or a boolean"),
        ("name = \"a\"\ninput = { topic = \"t\" }", "missing field `file`"),
        ("name = \"a\"\n[expect]\nverdict = 1", "unknown field `verdict`"),
        ("[[module]]\nname = \"a\"", "missing field `path`"),
        ("[deploy]\non = []\n[[module]]\nname = \"a\"\npath = \"a\"", "`deploy` belongs to one"),
        (
            "[[module]]\nname = \"a\"\npath = \"a\"\n[[module]]\nname = \"a\"\npath = \"b\"",
            "two modules have the name \"a\"",
        ),
    ] {
        let error = Project::parse(text, Path::new("/p")).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn a_folder_without_a_project_file_says_so_and_a_bad_one_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let error = Project::load(folder.path()).unwrap_err();
    assert!(matches!(error, Error::NoProjectFile { .. }), "{error}");
    std::fs::write(folder.path().join(FILE), "name = 1").unwrap();
    let error = Project::load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("logmill.toml: ") && error.contains("line 1"), "{error}");
}
