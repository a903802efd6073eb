//! Tokens: what a client shows in its hello. The server keeps only their hashes in memory.

use std::path::Path;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::{Error, hex, limits, private_file};

/// The tokens that are accepted, as hashes.
#[derive(Debug, Clone)]
pub(crate) struct TokenSet {
    hashes: Vec<[u8; 32]>,
}

impl TokenSet {
    /// The token in this file, which is made with a random one when it is missing, and the token
    /// itself, for the connection file.
    pub(crate) fn made(path: &Path) -> Result<(Self, String), Error> {
        if let Some(text) = private_file::read(path)? {
            let token = text.trim();
            if token.len() != 2 * limits::TOKEN_BYTES {
                let what = "does not hold a token; delete it and a new one is made";
                return Err(Error::content(path, what));
            }
            return Ok((Self::of(token), token.to_owned()));
        }
        let mut random = [0; limits::TOKEN_BYTES];
        getrandom::fill(&mut random)
            .map_err(|cause| Error::Make { what: "token", cause: cause.to_string() })?;
        let token = hex::encode(&random);
        private_file::write(path, format!("{token}\n").as_bytes())?;
        Ok((Self::of(&token), token))
    }

    /// The hashes in an operator's file: the first word of each line; empty lines and those that
    /// begin with `#` do not count.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = private_file::read_public(path)?;
        let mut hashes = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let Some(word) = line.split_whitespace().next().filter(|word| !word.starts_with('#'))
            else {
                continue;
            };
            hashes.push(hex::decode(word).ok_or_else(|| {
                let what = format!(
                    "is not a list of SHA-256 hashes: line {number} has no 64 hexadecimal digits"
                );
                Error::content(path, what)
            })?);
        }
        if hashes.is_empty() {
            return Err(Error::content(
                path,
                "lists no token hash, so nobody could connect; add one",
            ));
        }
        Ok(Self { hashes })
    }

    fn of(token: &str) -> Self {
        Self { hashes: vec![Sha256::digest(token).into()] }
    }

    /// Whether this token is one of the set. Takes as long for any token of its length: all
    /// hashes are compared, each whole.
    pub(crate) fn accepts(&self, token: &str) -> bool {
        let hash: [u8; 32] = Sha256::digest(token).into();
        self.hashes.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(&hash)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_kept_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.token");
        let (set, token) = TokenSet::made(&path).unwrap();
        assert!(set.accepts(&token));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (again, same) = TokenSet::made(&path).unwrap();
        assert_eq!(same, token);
        assert!(again.accepts(&token));
        let other = TokenSet::made(&directory.path().join("other.token")).unwrap().1;
        assert!(other != token && !set.accepts(&other));
    }

    #[test]
    fn only_the_exact_token_is_accepted() {
        let set = TokenSet::of("correct horse");
        assert!(set.accepts("correct horse"));
        for wrong in ["", "correct", "correct horse ", "Correct horse", "correct horsf"] {
            assert!(!set.accepts(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_token_file_lists_hashes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        let one = hex::encode(&Sha256::digest("one"));
        let two = hex::encode(&Sha256::digest("two")).to_uppercase();
        std::fs::write(&path, format!("# ours\n\n{one}  -\n{two} ci\n")).unwrap();
        let set = TokenSet::read(&path).unwrap();
        assert!(set.accepts("one") && set.accepts("two") && !set.accepts(&one));
        for (text, says) in [("", "no token"), ("# none\n", "no token"), ("x\none\n", "line 1")] {
            std::fs::write(&path, text).unwrap();
            let error = TokenSet::read(&path).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
