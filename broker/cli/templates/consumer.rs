//! A consumer: gives each record of its topics a verdict.
//!
//! The broker makes the verdict's outputs durable together with the step past the record, or
//! neither. A record that can't be handled is retried, then becomes a dead letter.

use logmill_module::prelude::*;

/// Greets everybody who is named in a record.
pub struct Greeter {
    greeting: String,
}

impl Consumer for Greeter {
    fn init(config: &Config) -> Result<Self> {
        Ok(Self { greeting: config.get("greeting").unwrap_or("hello").to_owned() })
    }

    fn handle(&mut self, message: Message) -> Result<Verdict> {
        let name = message.value_text()?; // an error is a failed attempt, with its text
        if name.trim().is_empty() {
            return Ok(Verdict::dead_letter("there is nobody to greet"));
        }
        info!("greeting {name}");
        Ok(Verdict::done([Output::new().value(format!("{}, {name}", self.greeting))]))
    }
}

logmill_module::consumer!(Greeter);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_greeted_and_a_blank_one_is_a_dead_letter() {
        let mut greeter = Greeter::init(&Config::from([("greeting", "hi")])).unwrap();
        assert_eq!(
            greeter.handle(Message::new("Ada")),
            Ok(Verdict::done([Output::new().value("hi, Ada")]))
        );
        assert_eq!(
            greeter.handle(Message::new(" ")),
            Ok(Verdict::dead_letter("there is nobody to greet"))
        );
    }
}
