//! Finding the broker when nobody says where it is.

use std::path::{Path, PathBuf};

use crate::{ConnectOptions, ConnectionFile, Error, Trust};

const CONNECT: &str = "LOGMILL_CONNECT";
const TOKEN: &str = "LOGMILL_TOKEN";
const FINGERPRINT: &str = "LOGMILL_FINGERPRINT";
const RUNTIME_FOLDER: &str = "XDG_RUNTIME_DIR";
const SCHEME: &str = "quic://";

/// What a search can see.
struct Surroundings<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    folder: Option<PathBuf>,
}

impl ConnectOptions {
    /// Finds the broker in this order: `connect` (a connection file, or `quic://HOST:PORT` with the
    /// token in `LOGMILL_TOKEN` and the certificate's fingerprint in `LOGMILL_FINGERPRINT`), the
    /// same in `LOGMILL_CONNECT`, the nearest `.logmill/connection.json` from the current folder
    /// upwards, `logmill/connection.json` in the user's runtime folder (`XDG_RUNTIME_DIR`).
    ///
    /// # Errors
    /// [`Error::NoBroker`], [`Error::ConnectionFile`], [`Error::Options`].
    pub fn discover(connect: Option<&str>) -> Result<Self, Error> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let folder = std::env::current_dir().ok();
        Surroundings { variable: &variable, folder }.find(connect)
    }
}

impl Surroundings<'_> {
    fn find(&self, connect: Option<&str>) -> Result<ConnectOptions, Error> {
        if let Some(target) = connect {
            return self.of_target(target, "--connect");
        }
        if let Some(target) = (self.variable)(CONNECT) {
            return self.of_target(&target, CONNECT);
        }
        let nearest = self.folder.as_deref().and_then(|folder| {
            folder
                .ancestors()
                .map(|folder| folder.join(".logmill/connection.json"))
                .find(|path| path.is_file())
        });
        let of_user = || {
            let folder = (self.variable)(RUNTIME_FOLDER)?;
            Some(Path::new(&folder).join("logmill/connection.json")).filter(|path| path.is_file())
        };
        let path = nearest.or_else(of_user).ok_or(Error::NoBroker)?;
        Ok(ConnectionFile::load(&path)?.into())
    }

    fn of_target(&self, target: &str, origin: &str) -> Result<ConnectOptions, Error> {
        let Some(address) = target.strip_prefix(SCHEME) else {
            return Ok(ConnectionFile::load(target.as_ref())?.into());
        };
        let address = address.trim_end_matches('/');
        let needed = |name: &str, what: &str| {
            (self.variable)(name).ok_or_else(|| {
                Error::Options(format!(
                    "{target} needs {what} in {name}; both stand in the broker's connection.json, which --connect also takes"
                ))
            })
        };
        let token = needed(TOKEN, "the token")?;
        let fingerprint = needed(FINGERPRINT, "the certificate's fingerprint")?.parse()?;
        Ok(ConnectOptions::new(address, Trust::Fingerprint(fingerprint), token).origin(origin))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs;

    use super::*;
    use crate::Fingerprint;

    fn write_file(path: &Path, address: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let fingerprint = Fingerprint::of_certificate(b"c");
        let json = format!(
            r#"{{"address":"{address}","http":"127.0.0.1:1","fingerprint":"{fingerprint}","token":"s3cret"}}"#
        );
        fs::write(path, json).unwrap();
    }

    fn find(
        variables: &[(&str, &str)],
        folder: &Path,
        connect: Option<&str>,
    ) -> Result<ConnectOptions, Error> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        let variable = |name: &str| variables.get(name).map(|value| (*value).to_owned());
        Surroundings { variable: &variable, folder: Some(folder.to_owned()) }.find(connect)
    }

    /// Each place is taken away in turn; the next one is found.
    #[test]
    fn the_places_are_searched_in_order() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        let (option, variable) = (path("option.json"), path("variable.json"));
        write_file(&option, "option:1");
        write_file(&variable, "variable:1");
        write_file(&path("run/logmill/connection.json"), "runtime:1");
        write_file(&path("work/.logmill/connection.json"), "outer:1");
        write_file(&path("work/a/.logmill/connection.json"), "nearest:1");
        let deep = path("work/a/b");
        fs::create_dir_all(&deep).unwrap();
        let run = path("run").display().to_string();
        let connect = variable.display().to_string();
        let all = [("XDG_RUNTIME_DIR", run.as_str()), ("LOGMILL_CONNECT", &connect)];
        let at = |variables: &[(&str, &str)], connect: Option<&str>| {
            find(variables, &deep, connect).unwrap().address
        };
        assert_eq!(at(&all, Some(&option.display().to_string())), "option:1");
        assert_eq!(at(&all, None), "variable:1");
        assert_eq!(at(&all[..1], None), "nearest:1");
        fs::remove_file(path("work/a/.logmill/connection.json")).unwrap();
        assert_eq!(at(&all[..1], None), "outer:1");
        fs::remove_file(path("work/.logmill/connection.json")).unwrap();
        assert_eq!(at(&all[..1], None), "runtime:1");
        assert_eq!(find(&[], &deep, None).unwrap_err(), Error::NoBroker);
    }

    #[test]
    fn an_address_needs_a_token_and_a_fingerprint() {
        let folder = Path::new("/");
        let fingerprint = Fingerprint::of_certificate(b"c").to_string();
        let token = ("LOGMILL_TOKEN", "s3cret");
        let target = Some("quic://broker.example:7460");
        for (variables, missing) in [(&[][..], "LOGMILL_TOKEN"), (&[token], "LOGMILL_FINGERPRINT")]
        {
            let error = find(variables, folder, target).unwrap_err();
            assert!(error.to_string().contains(missing), "{error}");
        }
        let both = [token, ("LOGMILL_FINGERPRINT", fingerprint.as_str())];
        let options = find(&both, folder, target).unwrap();
        assert_eq!((options.address(), options.token.as_str()), ("broker.example:7460", "s3cret"));
        let bad = [token, ("LOGMILL_FINGERPRINT", "12")];
        assert!(matches!(find(&bad, folder, target), Err(Error::Options(_))));
    }

    #[test]
    fn a_file_that_is_none_is_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("connection.json");
        for content in [None, Some(""), Some("{}"), Some(r#"{"address":"a:1","token":"t"}"#)] {
            if let Some(content) = content {
                fs::write(&path, content).unwrap();
            }
            let error = find(&[], root.path(), Some(&path.display().to_string())).unwrap_err();
            assert!(error.to_string().contains("connection.json"), "{error}");
        }
    }

    #[test]
    fn no_debug_text_shows_a_token() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("connection.json");
        write_file(&path, "a:1");
        let file = ConnectionFile::load(&path).unwrap();
        assert!(!format!("{file:?}").contains("s3cret"));
        assert!(!format!("{:?}", ConnectOptions::from(file)).contains("s3cret"));
    }
}
