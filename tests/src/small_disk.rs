//! A file system of its own for a data directory, in memory and of a size that a test can fill.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system, which goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// Mounts one over this folder; tells why when this machine does not let it.
    pub(crate) fn over(folder: &Path, bytes: u64) -> Result<Self, String> {
        let size = format!("size={bytes},mode=0700");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder))?;
        Ok(Self(folder.to_owned()))
    }

    /// Changes it, as in `ro`.
    pub(crate) fn change(&self, option: &str) -> Result<(), String> {
        let option = format!("remount,{option}");
        run(Command::new("mount").args(["-o", &option]).arg(&self.0))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, since a broker may not have ended yet.
        if let Err(why) = run(Command::new("umount").arg("--lazy").arg(&self.0)) {
            eprintln!("{} stays mounted: {why}", self.0.display());
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
