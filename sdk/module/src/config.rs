//! The deployment's settings for the module.

use std::str::FromStr;

use crate::{Error, Result};

/// The settings that `init` is given: what `logmill module deploy --config K=V` or
/// `[deploy.config]` says.
///
/// ```
/// use logmill_module::Config;
///
/// let config = Config::from([("team", "core"), ("limit", "20")]);
/// assert_eq!(config.get("team"), Some("core"));
/// assert_eq!(config.parse("limit")?, Some(20));
/// assert_eq!(config.parse::<u32>("pages")?, None);
/// assert_eq!(
///     config.require("repository").unwrap_err().to_string(),
///     "the module needs the config \"repository\"; deploy with --config repository=VALUE"
/// );
/// # Ok::<(), logmill_module::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config(Vec<(String, String)>);

impl Config {
    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The value of `name`, without which the module can't work.
    ///
    /// # Errors
    /// When it is not set: the deployment then fails with that text.
    pub fn require(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| {
            Error::new(format!(
                "the module needs the config {name:?}; deploy with --config {name}=VALUE"
            ))
        })
    }

    /// The value of `name` as a number or whatever else `T` reads; None when it is not set.
    ///
    /// # Errors
    /// When it is set and `T` can't read it.
    pub fn parse<T: FromStr>(&self, name: &str) -> Result<Option<T>>
    where
        T::Err: std::fmt::Display,
    {
        let Some(text) = self.get(name) else { return Ok(None) };
        let value = text
            .parse()
            .map_err(|error| Error::new(format!("bad config {name}={text}: {error}")))?;
        Ok(Some(value))
    }

    /// All settings, in the order of the deployment.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Config {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(settings: I) -> Self {
        Self(settings.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for Config {
    fn from(settings: [(K, V); N]) -> Self {
        settings.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_cannot_be_read_names_itself_and_its_value() {
        let config = Config::from([("limit", "many")]);
        assert_eq!(
            config.parse::<u32>("limit").unwrap_err().to_string(),
            "bad config limit=many: invalid digit found in string"
        );
    }
}
