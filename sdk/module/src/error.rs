//! What a handler returns when it can't say anything better.

use std::error::Error as StdError;
use std::fmt;

/// What the functions of a module return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed attempt, or a failed `init`. Only its text leaves the module: it is the detail of the
/// attempt in the module's log and of the dead letter.
///
/// It is made from any [`std::error::Error`] by `?`, and from text. The text of an error names
/// its causes too. Like `anyhow::Error`, it is no [`std::error::Error`] itself.
///
/// ```
/// use logmill_module::{Context, Error, Result};
///
/// fn number(text: &str) -> Result<u32> {
///     if text.is_empty() {
///         return Err("nothing to read".into());
///     }
///     Ok(text.parse()?)
/// }
///
/// assert_eq!(number("").unwrap_err().to_string(), "nothing to read");
/// assert_eq!(
///     number("x").context("the issue's number").unwrap_err().to_string(),
///     "the issue's number: invalid digit found in string"
/// );
/// ```
#[derive(PartialEq, Eq, Clone)]
pub struct Error {
    text: String,
}

impl Error {
    /// An error of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<E: Into<Box<dyn StdError>>> From<E> for Error {
    fn from(error: E) -> Self {
        let error = error.into();
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Some errors already print their cause.
            if !text.ends_with(cause_text.as_str()) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            source = cause.source();
        }
        Self { text }
    }
}

/// Says what was being done when an error came up, or what was missing.
///
/// ```
/// use logmill_module::{Context, Result};
///
/// fn title(line: &str) -> Result<&str> {
///     line.split_once(": ").map(|(_, title)| title).context("the line has no title")
/// }
/// assert_eq!(title("fix").unwrap_err().to_string(), "the line has no title");
/// ```
pub trait Context<T> {
    /// Puts `text` before the error's own text, or makes an error of it where there is no value.
    ///
    /// # Errors
    /// The error that was there, with `text`; or `text` for None.
    fn context(self, text: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, text: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Error::new(format!("{text}: {}", error.into())))
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, text: impl fmt::Display) -> Result<T> {
        self.ok_or_else(|| Error::new(text.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("outer")
        }
    }

    impl StdError for Outer {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn the_text_of_an_error_names_its_causes_once() {
        let outer = || Outer("x".parse::<u32>().unwrap_err());
        assert_eq!(Error::from(outer()).to_string(), "outer: invalid digit found in string");
        let said = std::io::Error::other(outer());
        assert_eq!(Error::from(said).to_string(), "outer: invalid digit found in string");
    }

    #[test]
    fn text_and_boxed_errors_are_errors_too() {
        let from_text = || -> Result<()> { Err("lost")? };
        assert_eq!(from_text().unwrap_err(), Error::new("lost"));
        let from_box = || -> Result<()> { Err(Box::<dyn StdError>::from("lost"))? };
        assert_eq!(from_box().unwrap_err(), Error::new("lost"));
    }
}
