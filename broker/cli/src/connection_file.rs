//! Where brokers tell how to reach them, beside the file in their data directory.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use logmill_server::ConnectionFile;

use crate::Failure;

/// A connection file that lasts as long as its broker does.
#[derive(Debug)]
pub(crate) struct Announcement {
    path: PathBuf,
    file: ConnectionFile,
}

impl Announcement {
    /// Tells commands in `folder` and below of a broker: `.logmill/connection.json`.
    pub(crate) fn in_project(folder: &Path, file: &ConnectionFile) -> Result<Self, Failure> {
        Self::write(folder.join(".logmill").join("connection.json"), file)
    }

    /// Tells all commands of this user of a broker, where the user has a runtime folder.
    pub(crate) fn for_user(file: &ConnectionFile) -> Result<Option<Self>, Failure> {
        match std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()) {
            Some(folder) => {
                let path = Path::new(&folder).join("logmill").join("connection.json");
                Self::write(path, file).map(Some)
            }
            None => Ok(None),
        }
    }

    fn write(path: PathBuf, file: &ConnectionFile) -> Result<Self, Failure> {
        let folder = path.parent().unwrap_or(&path);
        std::fs::create_dir_all(folder)
            .with_context(|| format!("can't make {}", folder.display()))?;
        file.write(&path).map_err(anyhow::Error::from)?;
        Ok(Self { path, file: file.clone() })
    }

    /// Takes the file away, unless another broker has written its own over it.
    pub(crate) fn withdraw(self) {
        let ours = serde_json::to_value(&self.file).ok();
        let there =
            std::fs::read(&self.path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        if ours == there {
            // Left behind, it would only name a broker that is not there.
            let _ = std::fs::remove_file(&self.path);
            if let Some(folder) = self.path.parent() {
                let _ = std::fs::remove_dir(folder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(port: u16) -> ConnectionFile {
        ConnectionFile {
            address: ([127, 0, 0, 1], port).into(),
            http: ([127, 0, 0, 1], 1).into(),
            fingerprint: "ab".into(),
            token: Some("t".into()),
            data: "/d".into(),
        }
    }

    #[test]
    fn a_broker_takes_away_what_it_announced_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".logmill/connection.json");
        let first = Announcement::in_project(dir.path(), &file(1)).unwrap();
        assert!(path.exists());
        let second = Announcement::in_project(dir.path(), &file(2)).unwrap();
        first.withdraw();
        assert!(path.exists());
        second.withdraw();
        assert!(!path.exists() && !path.parent().unwrap().exists());
    }
}
