//! Shows a consumer of dead letters: a payment that failed for good sends its order the way back.
//!
//! A dead letter is a record like any other: the value is the payment's, and headers say why it is here.

use logmill_module::prelude::*;
use serde::Deserialize;
use serde_json::json;

struct Compensate;

#[derive(Deserialize)]
struct Payment {
    id: String,
    sku: String,
}

impl Consumer for Compensate {
    fn init(_: &Config) -> Result<Self> {
        Ok(Self)
    }

    fn handle(&mut self, message: Message) -> Result<Verdict> {
        let Payment { id, sku } = match serde_json::from_slice(message.value_bytes()?) {
            Ok(payment) => payment,
            Err(error) => return Ok(Verdict::dead_letter(format!("not a payment: {error}"))),
        };
        let why = message.header_text("dlq-detail").unwrap_or("the payment failed");
        let release = json!({"type": "release", "id": id, "sku": sku});
        let event = json!({"id": id, "status": "cancelled", "note": why});
        Ok(Verdict::done([
            Output::to("orders").key(sku).value(serde_json::to_vec(&release)?),
            Output::to("events").key(id).value(serde_json::to_vec(&event)?),
        ]))
    }
}

logmill_module::consumer!(Compensate);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_that_failed_releases_what_its_order_holds() {
        let message = Message::new(r#"{"id":"a","sku":"lamp","card":"c"}"#)
            .with_header("dlq-detail", "the card was declined");
        let Verdict::Done(outputs) = Compensate.handle(message).unwrap() else { unreachable!() };
        let value = |at: usize| String::from_utf8(outputs[at].value.clone().unwrap()).unwrap();
        assert_eq!(outputs[0].topic.as_deref(), Some("orders"));
        assert_eq!(value(0), r#"{"id":"a","sku":"lamp","type":"release"}"#);
        assert!(value(1).contains("the card was declined"));
    }
}
