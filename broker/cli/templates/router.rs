//! A router: says, when a record is produced, where it goes besides its own topic.
//!
//! The record and its routes become durable together, or neither.

use logmill_module::prelude::*;

/// Sends a record on to the topic of its kind, which is in the header `kind`.
pub struct ByKind;

impl Router for ByKind {
    fn init(_config: &Config) -> Result<Self> {
        Ok(Self)
    }

    fn route(&mut self, message: Message) -> Result<Vec<Output>> {
        let topic = match message.header_text("kind") {
            Some("order") => "orders",
            Some("payment") => "payments",
            _ => return Ok(vec![]), // it stays where it was produced
        };
        let (key, value, headers) = (message.key, message.value, message.headers);
        Ok(vec![Output { key, value, headers, ..Output::to(topic) }])
    }
}

logmill_module::router!(ByKind);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_goes_to_the_topic_of_its_kind() {
        let mut router = ByKind::init(&Config::default()).unwrap();
        let order = Message::new("one book").with_header("kind", "order");
        assert_eq!(
            router.route(order),
            Ok(vec![Output::to("orders").value("one book").header("kind", "order")])
        );
        assert_eq!(router.route(Message::new("of no kind")), Ok(vec![]));
    }
}
