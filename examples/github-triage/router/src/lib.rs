//! Shows a router: it sends each GitHub event on to a topic by its kind.
//!
//! A router is asked while a record is produced. What it returns is appended in the same durable
//! step as the record, which always stays in the topic it was produced to. So a router is the
//! place to sort, and it should be quick: this one looks at one header and never at the value.

use logmill_module::prelude::*;

struct ByKind;

impl Router for ByKind {
    fn init(_config: &Config) -> Result<Self> {
        Ok(Self)
    }

    fn route(&mut self, message: Message) -> Result<Vec<Output>> {
        // No output: the deployment's `unrouted` says whether that is kept or refused.
        let Some(event) = message.header_text("event") else { return Ok(vec![]) };
        let topic = topic_of(event);
        Ok(vec![Output {
            topic: Some(topic.to_owned()),
            key: message.key,
            value: message.value,
            headers: message.headers,
        }])
    }
}

fn topic_of(event: &str) -> &'static str {
    match event {
        "issues" => "github.issues",
        "pull_request" => "github.pull_requests",
        "push" => "github.pushes",
        "code_scanning_alert"
        | "dependabot_alert"
        | "repository_vulnerability_alert"
        | "security_advisory" => "github.security",
        _ => "github.other",
    }
}

logmill_module::router!(ByKind);

#[cfg(test)]
mod tests {
    use super::*;

    fn route(message: Message) -> Vec<Output> {
        ByKind::init(&Config::default()).unwrap().route(message).unwrap()
    }

    #[test]
    fn an_event_goes_to_the_topic_of_its_kind_as_it_is() {
        let message = Message::new("{}")
            .with_key("octo-org/octo-repo")
            .with_header("event", "issues")
            .with_header("delivery", "42");
        let copy = Output::to("github.issues")
            .key("octo-org/octo-repo")
            .value("{}")
            .header("event", "issues")
            .header("delivery", "42");
        assert_eq!(route(message), [copy]);
    }

    #[test]
    fn every_kind_has_a_topic() {
        for (event, topic) in [
            ("pull_request", "github.pull_requests"),
            ("push", "github.pushes"),
            ("dependabot_alert", "github.security"),
            ("star", "github.other"),
            ("what GitHub thinks of next", "github.other"),
        ] {
            let routed = route(Message::new("{}").with_header("event", event));
            assert_eq!(routed[0].topic.as_deref(), Some(topic), "{event}");
        }
    }

    #[test]
    fn a_record_without_a_kind_has_no_route() {
        assert_eq!(route(Message::new("{}")), []);
    }
}
