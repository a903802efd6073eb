//! The order of the search, on machines that lack one thing or another.

use std::cell::RefCell;
use std::path::PathBuf;

use super::*;
use crate::Progress;

/// A machine where installing may bring something.
#[derive(Default)]
struct Fake {
    active: bool,
    debian: bool,
    /// The ways that can be tried, and whether the target is there afterwards or why it failed.
    rustup: Option<Result<bool, &'static str>>,
    apt: Option<Result<bool, &'static str>>,
    installed: Vec<Way>,
}

fn debian() -> Toolchain {
    Toolchain::Debian { rustc: PathBuf::from("rustc"), linker: PathBuf::from("lld") }
}

impl Machine for Fake {
    fn active_toolchain_has_target(&self) -> Result<bool, Error> {
        Ok(self.active)
    }

    fn debian_toolchain(&self) -> Option<Toolchain> {
        self.debian.then(debian)
    }

    fn can(&self, way: Way) -> bool {
        match way {
            Way::Rustup => self.rustup.is_some(),
            Way::Apt => self.apt.is_some(),
        }
    }

    fn install(&mut self, way: Way) -> Result<(), String> {
        self.installed.push(way);
        match way {
            Way::Rustup => self.active = self.rustup.unwrap()?,
            Way::Apt => self.debian = self.apt.unwrap()?,
        }
        Ok(())
    }
}

#[test]
fn what_is_there_is_used_before_anything_is_installed() {
    let all = Fake {
        active: true,
        debian: true,
        rustup: Some(Ok(true)),
        apt: Some(Ok(true)),
        ..Fake::default()
    };
    let mut machine = all;
    assert_eq!(search(&mut machine, &Options::default()).unwrap(), Toolchain::Active);
    machine.active = false;
    assert_eq!(search(&mut machine, &Options::default()).unwrap(), debian());
    assert_eq!(machine.installed, []);
}

#[test]
fn rustup_comes_before_apt_and_apt_follows_when_it_fails() {
    let mut machine = Fake { rustup: Some(Ok(true)), apt: Some(Ok(true)), ..Fake::default() };
    assert_eq!(search(&mut machine, &Options::default()).unwrap(), Toolchain::Active);
    assert_eq!(machine.installed, [Way::Rustup]);

    for rustup in [Err("no network"), Ok(false)] {
        let mut machine = Fake { rustup: Some(rustup), apt: Some(Ok(true)), ..Fake::default() };
        assert_eq!(search(&mut machine, &Options::default()).unwrap(), debian());
        assert_eq!(machine.installed, [Way::Rustup, Way::Apt]);
    }
}

#[test]
fn what_is_about_to_be_installed_is_said_first_and_a_no_is_taken() {
    let said = RefCell::new(Vec::new());
    let asked = RefCell::new(Vec::new());
    let progress = |progress: Progress<'_>| {
        if let Progress::Note(text) = progress {
            said.borrow_mut().push(text.to_owned());
        }
    };
    let may_install = |command: &str| {
        asked.borrow_mut().push(command.to_owned());
        false
    };
    let options = Options { progress: &progress, may_install: &may_install, ..Options::default() };
    let mut machine =
        Fake { rustup: Some(Err("no network")), apt: Some(Ok(true)), ..Fake::default() };
    let error = search(&mut machine, &options).unwrap_err().to_string();
    assert_eq!(machine.installed, [Way::Rustup]);
    assert_eq!(*asked.borrow(), [APT_COMMAND]);
    assert_eq!(said.borrow().len(), 1);
    assert!(said.borrow()[0].contains(RUSTUP_COMMAND));
    for part in ["failed: no network", "was declined", RUSTUP_COMMAND, APT_COMMAND] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn nothing_is_installed_where_that_is_forbidden() {
    let mut machine = Fake { rustup: Some(Ok(true)), apt: Some(Ok(true)), ..Fake::default() };
    let options = Options { install: false, ..Options::default() };
    let error = search(&mut machine, &options).unwrap_err().to_string();
    assert_eq!(machine.installed, []);
    assert!(error.contains("LOGMILL_NO_INSTALL=1") && error.contains(RUSTUP_COMMAND), "{error}");
}
