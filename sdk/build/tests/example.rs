//! The example that README starts with: its project file is read and its modules are built.

use std::path::{Path, PathBuf};

use logmill_build::project::Grant;
use logmill_build::{Options, Project, World, build_module};

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/github-triage")
}

#[test]
fn every_module_of_the_example_becomes_a_component_of_its_world() {
    let project = Project::load(&example()).unwrap();
    let built: Vec<_> = project
        .modules
        .iter()
        .map(|module| {
            let built = build_module(module, &Options::default()).unwrap();
            assert!(built.bytes < 128 * 1024, "{}: {} bytes", module.name, built.bytes);
            (module.name.as_str(), built.worlds)
        })
        .collect();
    assert_eq!(
        built,
        [
            ("route", vec![World::Router]),
            ("triage", vec![World::Consumer]),
            ("opened", vec![World::Filter]),
        ]
    );
}

#[test]
fn the_files_that_the_example_names_are_there_and_its_topics_fit() {
    let project = Project::load(&example()).unwrap();
    let input = project.input.as_ref().unwrap();
    let lines = std::fs::read_to_string(&input.file).unwrap().lines().count();
    assert_eq!((lines, input.topic.as_str()), (329, "github.events"));
    let triage = project.module("triage").unwrap();
    assert!(triage.expect.as_ref().unwrap().exists());
    let routed = project.module("route").unwrap().deploy.out.as_ref().unwrap();
    for topic in triage.deploy.on.as_ref().unwrap() {
        assert!(routed.contains(&Grant::from(topic.as_str())), "nothing is routed to {topic}");
    }
}
