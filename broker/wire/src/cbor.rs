//! Messages: CBOR maps (RFC 8949) with stable names, between bytes and values.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, limits};

/// A message of the protocol.
pub trait Message: Serialize + DeserializeOwned {
    /// What it is called in errors.
    const NAME: &'static str;
    /// The longest it may be, in bytes.
    const BYTES_MAX: usize;

    /// Its bytes.
    ///
    /// # Errors
    /// [`Error::MessageTooLong`].
    fn to_bytes(&self) -> Result<Bytes, Error> {
        let bytes = minicbor_serde::to_vec(self)
            .map_err(|error| malformed(Self::NAME, error.to_string()))?;
        Self::check_length(bytes.len())?;
        Ok(bytes.into())
    }

    /// The message of these bytes, all of them. Unknown names in its map are passed over, so that
    /// a later version may add some.
    ///
    /// # Errors
    /// [`Error::Message`], [`Error::MessageTooLong`].
    fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::check_length(bytes.len())?;
        check_shape(bytes).map_err(|what| malformed(Self::NAME, what.to_owned()))?;
        minicbor_serde::from_slice(bytes).map_err(|error| malformed(Self::NAME, error.to_string()))
    }

    /// Refuses a message that is too long.
    ///
    /// # Errors
    /// [`Error::MessageTooLong`].
    fn check_length(bytes: usize) -> Result<(), Error> {
        if bytes <= Self::BYTES_MAX {
            return Ok(());
        }
        Err(Error::MessageTooLong { message: Self::NAME, bytes, max: Self::BYTES_MAX })
    }
}

fn malformed(message: &'static str, what: String) -> Error {
    Error::Message { message, what }
}

/// Walks over one item without recursion: serde's own walk goes as deep as the sender likes, and
/// reserves what a count says. Refuses what messages never have: deep nesting, counts that lie,
/// tags, strings in pieces, bytes behind the end.
fn check_shape(bytes: &[u8]) -> Result<(), &'static str> {
    let mut rest = bytes;
    // How many items each open array or map still lacks; None: up to a break.
    let mut open = [Some(0); limits::NESTING_MAX];
    let mut depth = 0;
    loop {
        let (major, argument) = head(&mut rest)?;
        let items = match (major, argument) {
            (0 | 1, Some(_)) => 0,
            (2 | 3, Some(length)) => {
                let length = usize::try_from(length).map_err(|_| "a length lies")?;
                rest = rest.get(length..).ok_or("a length lies")?;
                0
            }
            (4 | 5, Some(count)) => count.saturating_mul(if major == 5 { 2 } else { 1 }),
            (4 | 5, None) => u64::MAX,
            (7, Some(_)) => 0,
            (7, None) if depth > 0 && open[depth - 1].is_none() => {
                depth -= 1;
                0
            }
            _ => return Err("it has a break, a tag or a string in pieces where none may be"),
        };
        if items > 0 {
            if argument.is_some() && items > rest.len() as u64 {
                return Err("a count lies");
            }
            *open.get_mut(depth).ok_or("it is nested too deeply")? = argument.map(|_| items);
            depth += 1;
            continue;
        }
        while depth > 0 {
            let Some(left) = &mut open[depth - 1] else { break };
            *left -= 1;
            if *left > 0 {
                break;
            }
            depth -= 1;
        }
        if depth == 0 {
            return if rest.is_empty() { Ok(()) } else { Err("bytes follow its end") };
        }
    }
}

/// The major type of the next item and its argument; None for an indefinite length or a break.
fn head(rest: &mut &[u8]) -> Result<(u8, Option<u64>), &'static str> {
    let early = "it ends early";
    let (&first, tail) = rest.split_first().ok_or(early)?;
    let (major, info) = (first >> 5, first & 0x1f);
    let width = match info {
        0..=23 | 31 => 0,
        24..=27 => 1 << (info - 24),
        _ => return Err("it is not CBOR"),
    };
    let (argument, tail) = tail.split_at_checked(width).ok_or(early)?;
    *rest = tail;
    Ok(match info {
        0..=23 => (major, Some(u64::from(info))),
        31 => (major, None),
        _ => (major, Some(argument.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))),
    })
}

#[cfg(test)]
mod tests;
