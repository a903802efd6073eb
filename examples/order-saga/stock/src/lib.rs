//! Shows state: it keeps the stock of each article, and what each order has reserved of it.
//!
//! What it remembers is committed with the verdict: an order is reserved and sent on to be paid, or
//! neither, whatever is killed when. State belongs to a partition, so that articles are the key of
//! `orders`: all that is about one article meets in one place.

use logmill_module::prelude::*;
use serde::{Deserialize, Serialize};

struct Stock {
    initial: u32,
}

/// What `orders` holds: orders, and the way back of those that could not be paid.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Request {
    Order(Order),
    Release { id: String, sku: String },
}

/// An order, and what is to be paid for it.
#[derive(Deserialize, Serialize)]
struct Order {
    id: String,
    sku: String,
    quantity: u32,
    amount_cents: u64,
    card: String,
}

impl Consumer for Stock {
    fn init(config: &Config) -> Result<Self> {
        Ok(Self { initial: config.parse("initial_stock")?.unwrap_or(0) })
    }

    fn handle(&mut self, message: Message) -> Result<Verdict> {
        match serde_json::from_slice(message.value_bytes()?) {
            Ok(Request::Order(order)) => self.reserve(&order),
            Ok(Request::Release { id, sku }) => self.release(&id, &sku),
            Err(error) => Ok(Verdict::dead_letter(format!("not an order: {error}"))),
        }
    }
}

impl Stock {
    fn reserve(&self, order: &Order) -> Result<Verdict> {
        let held = held_key(&order.id);
        if state::get(&held).is_some() {
            return Ok(Verdict::drop("this order is reserved already"));
        }
        let left = self.left(&order.sku)?;
        let Some(rest) = left.checked_sub(order.quantity) else {
            let why = format!("{left} of {} are left", order.sku);
            return Ok(Verdict::done([event(&order.id, "refused", &why)?]));
        };
        state::set(&stock_key(&order.sku), rest.to_string());
        state::set(&held, order.quantity.to_string());
        let payment =
            Output::to("payments").key(order.id.as_str()).value(serde_json::to_vec(order)?);
        Ok(Verdict::done([payment]))
    }

    /// Gives back what an order holds. Told twice, it does so once: nothing is held any more.
    fn release(&self, id: &str, sku: &str) -> Result<Verdict> {
        let Some(held) = state::get_text(&held_key(id))? else {
            return Ok(Verdict::drop("this order holds nothing"));
        };
        let left = self.left(sku)? + held.parse::<u32>()?;
        state::set(&stock_key(sku), left.to_string());
        state::delete(&held_key(id));
        Ok(Verdict::done([event(id, "released", &format!("{left} of {sku} are left"))?]))
    }

    fn left(&self, sku: &str) -> Result<u32> {
        match state::get_text(&stock_key(sku))? {
            Some(left) => Ok(left.parse()?),
            None => Ok(self.initial),
        }
    }
}

fn stock_key(sku: &str) -> String {
    format!("stock/{sku}")
}

fn held_key(id: &str) -> String {
    format!("held/{id}")
}

fn event(id: &str, status: &str, note: &str) -> Result<Output> {
    let event = serde_json::json!({"id": id, "status": status, "note": note});
    Ok(Output::to("events").key(id).value(serde_json::to_vec(&event)?))
}

logmill_module::consumer!(Stock);

#[cfg(test)]
mod tests {
    use logmill_module::testing::TestHost;

    use super::*;

    fn handle(value: &str) -> Verdict {
        Stock { initial: 5 }.handle(Message::new(value)).unwrap()
    }

    fn order(id: &str, quantity: u32) -> String {
        format!(
            r#"{{"type":"order","id":"{id}","sku":"lamp","quantity":{quantity},"amount_cents":1,"card":"c"}}"#
        )
    }

    fn topics(verdict: &Verdict) -> Vec<&str> {
        let Verdict::Done(outputs) = verdict else { return Vec::new() };
        outputs.iter().map(|it| it.topic.as_deref().unwrap()).collect()
    }

    #[test]
    fn an_order_is_reserved_once_and_what_it_holds_comes_back() {
        let host = TestHost::new();
        assert_eq!(topics(&handle(&order("a", 3))), ["payments"]);
        assert!(matches!(handle(&order("a", 3)), Verdict::Drop(_)), "the same order again");
        assert_eq!(topics(&handle(&order("b", 3))), ["events"], "two are left");
        let release = r#"{"type":"release","id":"a","sku":"lamp"}"#;
        assert_eq!(topics(&handle(release)), ["events"]);
        assert!(matches!(handle(release), Verdict::Drop(_)), "it holds nothing any more");
        assert_eq!(topics(&handle(&order("b", 3))), ["payments"]);
        drop(host);
    }

    #[test]
    fn what_is_no_order_is_a_dead_letter() {
        let _host = TestHost::new();
        assert!(matches!(handle("{}"), Verdict::DeadLetter(_)));
    }
}
