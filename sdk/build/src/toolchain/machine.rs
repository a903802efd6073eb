//! What the search asks of the machine, and does to it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{TARGET, Toolchain, Way};
use crate::{Error, Options, process};

/// The oldest compiler that builds `logmill-module`.
const RUSTC_MIN: (u32, u32) = (1, 95);

/// The machine as the search sees it.
pub(super) trait Machine {
    /// Whether the active toolchain can build for [`TARGET`] as it is.
    fn active_toolchain_has_target(&self) -> Result<bool, Error>;
    /// Debian's compiler, when it is there with its sources, new enough, and there is a linker.
    fn debian_toolchain(&self) -> Option<Toolchain>;
    /// Whether it makes sense to try.
    fn can(&self, way: Way) -> bool;
    /// Tries; else says why it failed.
    fn install(&mut self, way: Way) -> Result<(), String>;
}

/// This machine, asked from a crate's folder: a toolchain file there counts.
pub(super) struct ThisMachine<'a> {
    pub(super) folder: &'a Path,
    pub(super) options: &'a Options<'a>,
}

impl Machine for ThisMachine<'_> {
    fn active_toolchain_has_target(&self) -> Result<bool, Error> {
        match self.ask("rustc", &["--print", "target-libdir", "--target", TARGET]) {
            Ok(libraries) => Ok(has_file(Path::new(&libraries), "libstd-")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoCargo),
            // A compiler that does not even know the target.
            Err(_) => Ok(false),
        }
    }

    fn debian_toolchain(&self) -> Option<Toolchain> {
        let rustc = PathBuf::from("/usr/bin/rustc");
        let sources = Path::new("/usr/lib/rustlib/src/rust/library/std/Cargo.toml");
        let version = self.ask("/usr/bin/rustc", &["--version"]).ok()?;
        if !sources.exists() || parse_version(&version)? < RUSTC_MIN {
            return None;
        }
        Some(Toolchain::Debian { rustc, linker: self.linker()? })
    }

    fn can(&self, way: Way) -> bool {
        match way {
            Way::Rustup => self.ask("rustup", &["--version"]).is_ok(),
            Way::Apt => {
                Path::new("/etc/debian_version").exists()
                    && self.ask("apt-get", &["--version"]).is_ok()
                    && self.ask("id", &["-u"]).is_ok_and(|user| user == "0")
            }
        }
    }

    fn install(&mut self, way: Way) -> Result<(), String> {
        match way {
            Way::Rustup => self.run("rustup", &["target", "add", TARGET]),
            Way::Apt => {
                self.run("apt-get", &["update"])?;
                let packages = ["rustc-web", "rust-web-src"];
                self.run("apt-get", &[&["install", "--yes"][..], &packages].concat())
            }
        }
    }
}

impl ThisMachine<'_> {
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = process::command(program);
        command.args(arguments).current_dir(self.folder).env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// What a program answers, when it succeeds.
    fn ask(&self, program: &str, arguments: &[&str]) -> io::Result<String> {
        let output = self.command(program, arguments).output()?;
        if !output.status.success() {
            return Err(io::Error::other(format!("{program}: {}", output.status)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<(), String> {
        let ran = process::run(&mut self.command(program, arguments), self.options, |_| ())
            .map_err(|error| error.to_string())?;
        let last = ran.output.lines().rfind(|line| !line.trim().is_empty());
        if ran.success { Ok(()) } else { Err(last.unwrap_or("it says nothing").trim().to_owned()) }
    }

    /// The active toolchain's own lld, else one of the distribution.
    fn linker(&self) -> Option<PathBuf> {
        let sysroot = self.ask("rustc", &["--print", "sysroot"]).ok()?;
        let hosts = Path::new(&sysroot).join("lib/rustlib").read_dir().ok()?;
        let bundled = hosts.flatten().map(|host| host.path().join("bin/rust-lld"));
        let system = ["/usr/bin/rust-lld", "/usr/bin/lld", "/usr/bin/wasm-ld"].map(PathBuf::from);
        bundled.chain(system).find(|linker| linker.exists())
    }
}

fn has_file(folder: &Path, prefix: &str) -> bool {
    let Ok(files) = folder.read_dir() else { return false };
    files.flatten().any(|file| file.file_name().to_string_lossy().starts_with(prefix))
}

/// Of `rustc 1.96.0 (…)`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(' ').nth(1)?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compilers_version_is_read_from_what_it_says() {
        assert_eq!(parse_version("rustc 1.96.0 (ac68faa20 2026-05-25)"), Some((1, 96)));
        assert_eq!(parse_version("rustc 1.63.0"), Some((1, 63)));
        assert_eq!(parse_version("rustc"), None);
    }
}
