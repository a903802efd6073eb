//! Environment variables as a source of settings.

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

/// The prefix of environment variables that are settings.
const PREFIX: &str = "LOGMILL_";
/// Variables with that prefix which belong to the command line, not to the server.
pub(super) const NOT_SETTINGS: [&str; 7] = [
    "LOGMILL_CONNECT",
    "LOGMILL_FINGERPRINT",
    "LOGMILL_LOG",
    "LOGMILL_NO_INSTALL",
    "LOGMILL_SEED",
    "LOGMILL_SOAK",
    "LOGMILL_TOKEN",
];

/// Environment variables as settings. Figment's own reads those of the process, which a test
/// could not own.
pub(super) struct Environment(Dict);

impl Environment {
    pub(super) fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let settings = variables
            .into_iter()
            .filter(|(name, _)| !NOT_SETTINGS.contains(&name.as_str()))
            .filter_map(|(name, value)| {
                let key = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
                Some((key, value.parse::<Value>().unwrap_or_else(|never| match never {})))
            });
        Self(settings.collect())
    }
}

impl Provider for Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named("environment variable")
            .interpolater(|_, keys| format!("{PREFIX}{}", keys.join("_").to_ascii_uppercase()))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.0.clone()))
    }
}
