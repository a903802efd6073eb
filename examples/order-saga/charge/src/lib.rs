//! Shows a step that must happen once, and two ways to fail for good.
//!
//! A card that is *declined* is an answer: the payment is a dead letter at once. A bank that is
//! *unreachable* is an error: it is tried again, and a dead letter when the attempts run out. Which of
//! them it is stands in the order, as a card of a test system says it.

use logmill_module::prelude::*;
use serde::Deserialize;

struct Charge;

#[derive(Deserialize)]
struct Payment {
    id: String,
    amount_cents: u64,
    card: String,
}

impl Consumer for Charge {
    fn init(_: &Config) -> Result<Self> {
        Ok(Self)
    }

    fn handle(&mut self, message: Message) -> Result<Verdict> {
        let payment: Payment = match serde_json::from_slice(message.value_bytes()?) {
            Ok(payment) => payment,
            Err(error) => return Ok(Verdict::dead_letter(format!("not a payment: {error}"))),
        };
        let charged = format!("charged/{}", payment.id);
        if state::get(&charged).is_some() {
            return Ok(Verdict::drop("this order is paid already"));
        }
        match payment.card.as_str() {
            "declined" => return Ok(Verdict::dead_letter("the card was declined")),
            "unreachable" => return Err(Error::new("the bank can't be reached")),
            _ => {}
        }
        // Committed together with the receipt: there is one of both, or none.
        state::set(&charged, payment.amount_cents.to_string());
        let note = format!("{} cents", payment.amount_cents);
        let event = serde_json::json!({"id": payment.id, "status": "paid", "note": note});
        Ok(Verdict::done([Output::to("events").key(payment.id).value(serde_json::to_vec(&event)?)]))
    }
}

logmill_module::consumer!(Charge);

#[cfg(test)]
mod tests {
    use logmill_module::testing::TestHost;

    use super::*;

    fn handle(id: &str, card: &str) -> Result<Verdict> {
        let value = format!(r#"{{"id":"{id}","amount_cents":5,"card":"{card}"}}"#);
        Charge.handle(Message::new(value.as_str()))
    }

    #[test]
    fn an_order_is_charged_once() {
        let _host = TestHost::new();
        assert!(matches!(handle("a", "4242"), Ok(Verdict::Done(_))));
        assert!(matches!(handle("a", "4242"), Ok(Verdict::Drop(_))));
        assert!(matches!(handle("b", "4242"), Ok(Verdict::Done(_))));
    }

    #[test]
    fn a_declined_card_is_final_and_an_unreachable_bank_is_tried_again() {
        let _host = TestHost::new();
        assert!(matches!(handle("a", "declined"), Ok(Verdict::DeadLetter(_))));
        assert!(handle("a", "unreachable").is_err());
        assert!(matches!(handle("a", "4242"), Ok(Verdict::Done(_))), "neither has charged");
    }
}
