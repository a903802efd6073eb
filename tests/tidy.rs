//! What a machine can check of how the code looks: the rules that would rot without a check.
//!
//! Each test gathers every offence before it fails, so that one run tells all there is to mend.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod tidy {
    pub(crate) mod documents;
    pub(crate) mod layout;
    pub(crate) mod manifests;
    pub(crate) mod repository;
    pub(crate) mod rust;
    pub(crate) mod words;
}

use tidy::manifests::Metadata;
use tidy::repository::Repository;
use tidy::{documents, layout, manifests, rust, words};

#[track_caller]
fn none(offences: Vec<String>) {
    assert!(offences.is_empty(), "{} to mend:\n{}", offences.len(), offences.join("\n"));
}

#[test]
fn dependencies_point_one_way() {
    none(manifests::edges(&Metadata::read()));
}

#[test]
fn what_tests_need_is_needed_by_the_tests_package_too() {
    none(manifests::dev_dependencies(&Metadata::read()));
}

#[test]
fn every_file_says_what_it_is_for() {
    none(Repository::read().each_rust_file(rust::header));
}

#[test]
fn no_file_is_longer_than_400_production_lines() {
    none(Repository::read().each_rust_file(rust::file_length));
}

#[test]
fn no_function_is_longer_than_70_lines() {
    none(Repository::read().each_rust_file(rust::function_lengths));
}

#[test]
fn stdout_belongs_to_the_output_of_the_command_line() {
    none(Repository::read().each_rust_file(rust::prints));
}

#[test]
fn every_test_runs_and_none_sleeps() {
    none(Repository::read().each_rust_file(rust::ignored_or_asleep));
}

#[test]
fn nothing_is_left_to_fix_and_what_is_to_do_has_an_issue() {
    none(words::unfinished(&Repository::read()));
}

#[test]
fn no_text_depends_on_the_machine_it_was_written_on() {
    none(words::machines(&Repository::read()));
}

#[test]
fn the_root_holds_what_it_should_and_nothing_else() {
    none(layout::root(&Repository::read()));
}

#[test]
fn every_guest_is_named_by_a_test() {
    none(layout::guests(&Repository::read()));
}

#[test]
fn the_readme_asks_for_the_rust_that_cargo_asks_for() {
    none(documents::rust_version(&Repository::read()));
}

#[test]
fn every_path_in_the_documents_exists() {
    none(documents::paths(&Repository::read()));
}

#[test]
fn every_command_of_the_readme_is_run_by_a_test() {
    none(documents::commands(&Repository::read()));
}
