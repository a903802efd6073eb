//! Which server a command talks to: `--connect`, then `LOGMILL_CONNECT`, then the nearest
//! `.logmill/connection.json` upwards, then the user's runtime folder.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::Failure;

/// Where `dev` tells its connection, below the folder it runs in.
pub(crate) const PROJECT_FILE: &str = ".logmill/connection.json";
/// The token for a server that was named by its address.
const TOKEN_VARIABLE: &str = "LOGMILL_TOKEN";
/// The certificate's fingerprint for a server that was named by its address.
const FINGERPRINT_VARIABLE: &str = "LOGMILL_FINGERPRINT";

/// What one needs to know to connect; the content of a connection file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Connection {
    /// The QUIC endpoint, `HOST:PORT`.
    pub(crate) address: String,
    /// The HTTP side door, `HOST:PORT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<String>,
    /// SHA-256 of the server's certificate, as hexadecimal digits.
    pub(crate) fingerprint: String,
    /// What the client shows.
    pub(crate) token: String,
}

/// Where the connection is to be looked up.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    File(PathBuf),
    Address(String),
}

/// Finds the connection that a command is to use. `named` is what `--connect` or
/// `LOGMILL_CONNECT` says.
pub(crate) fn find(named: Option<&str>) -> Result<Connection, Failure> {
    let folder = std::env::current_dir().context("can't tell the current folder")?;
    let source = source(named, &folder, runtime_file().as_deref()).ok_or_else(|| {
        anyhow::anyhow!(
            "no broker found: there is no {PROJECT_FILE} here or above; \
             start one with `logmill dev`, or name one with --connect"
        )
    })?;
    match source {
        Source::File(path) => read(&path),
        Source::Address(address) => from_environment(address),
    }
}

fn source(named: Option<&str>, folder: &Path, runtime_file: Option<&Path>) -> Option<Source> {
    if let Some(named) = named {
        return Some(match named.strip_prefix("quic://") {
            Some(address) => Source::Address(address.trim_end_matches('/').to_owned()),
            None => Source::File(PathBuf::from(named)),
        });
    }
    let upwards = folder.ancestors().map(|folder| folder.join(PROJECT_FILE));
    upwards
        .chain(runtime_file.map(Path::to_path_buf))
        .find(|path| path.is_file())
        .map(Source::File)
}

/// The connection file of a broker that serves this user's whole machine.
pub(crate) fn runtime_file() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty())?;
    Some(Path::new(&folder).join("logmill").join("connection.json"))
}

fn read(path: &Path) -> Result<Connection, Failure> {
    let shown = path.display();
    let text = std::fs::read(path).with_context(|| format!("can't read connection file {shown}"))?;
    let connection = serde_json::from_slice(&text)
        .with_context(|| format!("{shown} is not a connection file; take one that serve wrote"))?;
    Ok(connection)
}

fn from_environment(address: String) -> Result<Connection, Failure> {
    let variable = |name: &'static str, what: &'static str| {
        std::env::var(name).map_err(|_| {
            Failure::usage(format!(
                "quic://{address} needs {what} in {name}; \
                 or give --connect the file connection.json from the broker's data directory"
            ))
        })
    };
    Ok(Connection {
        fingerprint: variable(FINGERPRINT_VARIABLE, "the certificate's fingerprint")?,
        token: variable(TOKEN_VARIABLE, "a token")?,
        http: None,
        address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_looked_for_in_the_manuals_order() {
        let dir = tempfile::tempdir().unwrap();
        let (outer, inner) = (dir.path().join("a"), dir.path().join("a/b/c"));
        std::fs::create_dir_all(&inner).unwrap();
        let runtime = dir.path().join("runtime.json");
        let look = |named| source(named, &inner, Some(&runtime));

        assert_eq!(look(None), None);
        std::fs::write(&runtime, "{}").unwrap();
        assert_eq!(look(None), Some(Source::File(runtime.clone())));
        for folder in [&outer, &inner] {
            let file = folder.join(PROJECT_FILE);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "{}").unwrap();
            assert_eq!(look(None), Some(Source::File(file)));
        }
        assert_eq!(look(Some("x.json")), Some(Source::File("x.json".into())));
        assert_eq!(look(Some("quic://h:1/")), Some(Source::Address("h:1".into())));
    }

    #[test]
    fn a_connection_file_that_is_none_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("connection.json");
        let text = |path: &Path| read(path).unwrap_err().line();
        assert!(text(&path).contains("can't read connection file"));
        std::fs::write(&path, "[]").unwrap();
        assert!(text(&path).contains("is not a connection file"));
    }
}
