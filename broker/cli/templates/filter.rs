//! A filter: says which records a subscriber sees that names it, as in
//! `logmill consume TOPIC --filter NAME`.

use logmill_module::prelude::*;

/// Lets through the records whose value contains a word.
pub struct Mentions {
    word: String,
}

impl Filter for Mentions {
    fn init(config: &Config) -> Result<Self> {
        Ok(Self { word: config.require("word")?.to_owned() })
    }

    fn matches(&mut self, message: Message) -> Result<bool> {
        // What is no text mentions nothing; an error would end the subscription.
        Ok(message.value_text().is_ok_and(|text| text.contains(&self.word)))
    }
}

logmill_module::filter!(Mentions);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_mentions_the_word_is_seen() {
        let mut filter = Mentions::init(&Config::from([("word", "urgent")])).unwrap();
        assert_eq!(filter.matches(Message::new("an urgent call")), Ok(true));
        assert_eq!(filter.matches(Message::new("good morning")), Ok(false));
        assert_eq!(filter.matches(Message::new([0xff])), Ok(false));
    }
}
