//! Which certificate a broker is known by.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::Error;

/// The SHA-256 of a certificate's DER bytes, shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate.
    #[must_use]
    pub fn of_certificate(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() == 2 * bytes.len() {
            let nibble = |digit: u8| char::from(digit).to_digit(16);
            let pairs =
                digits.chunks_exact(2).map(|pair| Some((nibble(pair[0])?, nibble(pair[1])?)));
            let decoded: Option<Vec<u8>> = pairs
                .map(|pair| pair.and_then(|(high, low)| u8::try_from(high << 4 | low).ok()))
                .collect();
            if let Some(decoded) = decoded {
                bytes.copy_from_slice(&decoded);
                return Ok(Self(bytes));
            }
        }
        Err(Error::Options(format!("bad fingerprint {text:?}; it is 64 hexadecimal digits")))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_as_it_prints() {
        let fingerprint = Fingerprint::of_certificate(b"certificate");
        let text = fingerprint.to_string();
        assert_eq!(text.parse::<Fingerprint>(), Ok(fingerprint));
        assert_eq!(text.to_uppercase().parse::<Fingerprint>(), Ok(fingerprint));
        for bad in
            ["", &text[1..], &format!("{text}0"), &format!("+{}", &text[1..]), &"é".repeat(32)]
        {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
