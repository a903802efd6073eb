//! Shows a filter: it lets through the GitHub events of one repository, kind or action, as its
//! config says (`repository`, `event`, `action`; what is not set matches everything).
//!
//! A filter is asked by a subscription, `logmill consume TOPIC --filter NAME`, and changes what
//! that subscriber sees, nothing else. An error would end the subscription, so a record that
//! can't be read is a no here.

use logmill_module::prelude::*;
use serde::Deserialize;

struct Only {
    repository: Option<String>,
    event: Option<String>,
    action: Option<String>,
}

/// Of a payload, only what is asked for: the rest is skipped without being kept.
#[derive(Deserialize)]
struct Payload {
    action: Option<String>,
}

impl Filter for Only {
    fn init(config: &Config) -> Result<Self> {
        let setting = |name: &str| config.get(name).map(str::to_owned);
        Ok(Self {
            repository: setting("repository"),
            event: setting("event"),
            action: setting("action"),
        })
    }

    fn matches(&mut self, message: Message) -> Result<bool> {
        // The cheap questions first: key and header before the payload.
        Ok(is(&self.repository, || message.key_text().map(str::to_owned))
            && is(&self.event, || message.header_text("event").map(str::to_owned))
            && is(&self.action, || action(&message)))
    }
}

fn is(wanted: &Option<String>, actual: impl FnOnce() -> Option<String>) -> bool {
    wanted.is_none() || *wanted == actual()
}

fn action(message: &Message) -> Option<String> {
    serde_json::from_slice::<Payload>(message.value.as_deref()?).ok()?.action
}

logmill_module::filter!(Only);

#[cfg(test)]
mod tests {
    use super::*;

    fn matches<const N: usize>(config: [(&str, &str); N], message: Message) -> bool {
        Only::init(&Config::from(config)).unwrap().matches(message).unwrap()
    }

    fn opened() -> Message {
        Message::new(r#"{"action": "opened"}"#).with_key("octo/repo").with_header("event", "issues")
    }

    #[test]
    fn without_config_everything_matches() {
        assert!(matches([], opened()));
        assert!(matches([], Message::new("not JSON")));
    }

    #[test]
    fn every_setting_must_match() {
        let all = [("repository", "octo/repo"), ("event", "issues"), ("action", "opened")];
        assert!(matches(all, opened()));
        for (index, (name, _)) in all.iter().enumerate() {
            let mut config = all;
            config[index].1 = "another";
            assert!(!matches(config, opened()), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_read_does_not_match() {
        for value in ["", "not JSON", "[]", "{}", r#"{"action": 1}"#] {
            assert!(!matches([("action", "opened")], Message::new(value)), "{value}");
        }
    }
}
