//! A module in all three worlds that does what a record tells it to, so that a test can say beforehand
//! what becomes of each record.
//!
//! A value is words: an id, what to do, and its arguments.
//!
//! | words | consumer | router |
//! |---|---|---|
//! | `ID done [N]` | done with `N` outputs (1 unless told) of key and value of the record | |
//! | `ID drop` | drops it | |
//! | `ID reject` | dead-letters it | |
//! | `ID fail` | an error, at every attempt | an error |
//! | `ID retry` | asks for a retry, at every attempt | |
//! | `ID flaky N` | fails `N` attempts, then done | |
//! | `ID log TEXT` | writes to its log, then done without outputs | |
//! | `ID to TOPIC` | done with an output to that topic | an output to that topic |
//! | `ID none` | done without outputs | no output |
//!
//! Config: `mended` has `reject`, `fail` and `retry` done; `tag` is appended to the value of every output; `keep` is the word that a record must
//! have for the filter to let it through, and a record that says `fail` fails the filter.

use logmill_module::prelude::*;

struct Scripted {
    tag: String,
    keep: Option<String>,
    mended: bool,
}

impl Scripted {
    fn new(config: &Config) -> Result<Self> {
        if config.get("init") == Some("fail") {
            return Err(Error::new("told not to start"));
        }
        let tag = config.get("tag").map(|tag| format!(" {tag}")).unwrap_or_default();
        let (keep, mended) =
            (config.get("keep").map(str::to_owned), config.get("mended").is_some());
        Ok(Self { tag, keep, mended })
    }

    /// The record again, as an output.
    fn output(&self, message: &Message, to: Option<&str>) -> Result<Output> {
        let value = format!("{}{}", message.value_text()?, self.tag);
        let output = Output { topic: to.map(str::to_owned), ..Output::new() };
        Ok(Output { key: message.key.clone(), ..output.value(value) })
    }
}

/// What a record tells: the verb and the words behind it.
fn told(message: &Message) -> Result<(String, Vec<String>)> {
    let mut words = message.value_text()?.split(' ').map(str::to_owned);
    let _id = words.next();
    let verb = words.next().context("the record tells nothing")?;
    Ok((verb, words.collect()))
}

fn number(words: &[String], otherwise: u32) -> Result<u32> {
    match words.first() {
        Some(word) => word.parse().map_err(|_| Error::new(format!("{word} is no number"))),
        None => Ok(otherwise),
    }
}

impl Consumer for Scripted {
    fn init(config: &Config) -> Result<Self> {
        Self::new(config)
    }

    fn handle(&mut self, message: Message) -> Result<Verdict> {
        let (verb, words) = told(&message)?;
        match verb.as_str() {
            "done" => {
                let outputs = (0..number(&words, 1)?).map(|_| self.output(&message, None));
                Ok(Verdict::done(outputs.collect::<Result<Vec<_>>>()?))
            }
            "reject" | "fail" | "retry" if self.mended => {
                Ok(Verdict::done([self.output(&message, None)?]))
            }
            "drop" => Ok(Verdict::drop("told to")),
            "reject" => Ok(Verdict::dead_letter("told to")),
            "fail" => Err(Error::new("told to")),
            "retry" => Ok(Verdict::retry("told to")),
            "flaky" if message.attempt <= number(&words, 1)? => Err(Error::new("not yet")),
            "flaky" => Ok(Verdict::done([self.output(&message, None)?])),
            "log" => {
                info!("{}", words.join(" "));
                Ok(Verdict::done([]))
            }
            "to" => {
                let to = words.first().context("to where?")?;
                Ok(Verdict::done([self.output(&message, Some(to))?]))
            }
            "none" => Ok(Verdict::done([])),
            other => Err(Error::new(format!("{other} is nothing to do"))),
        }
    }
}

impl Router for Scripted {
    fn init(config: &Config) -> Result<Self> {
        Self::new(config)
    }

    fn route(&mut self, message: Message) -> Result<Vec<Output>> {
        let (verb, words) = told(&message)?;
        match verb.as_str() {
            "fail" => Err(Error::new("told to")),
            "to" => Ok(vec![self.output(&message, words.first().map(String::as_str))?]),
            _ => Ok(vec![]),
        }
    }
}

impl Filter for Scripted {
    fn init(config: &Config) -> Result<Self> {
        Self::new(config)
    }

    fn matches(&mut self, message: Message) -> Result<bool> {
        let words: Vec<&str> = message.value_text()?.split(' ').collect();
        if words.contains(&"fail") {
            return Err(Error::new("told to"));
        }
        Ok(self.keep.as_deref().is_none_or(|keep| words.contains(&keep)))
    }
}

logmill_module::consumer!(Scripted);
logmill_module::router!(Scripted);
logmill_module::filter!(Scripted);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_done_as_it_says() {
        let mut module = <Scripted as Consumer>::init(&Config::from([("tag", "x")])).unwrap();
        let output = |value: &str| Output::new().key("k").value(value);
        for (value, attempt, verdict) in [
            ("7 done", 1, Ok(Verdict::done([output("7 done x")]))),
            ("7 done 2", 1, Ok(Verdict::done([output("7 done 2 x"), output("7 done 2 x")]))),
            ("7 drop", 1, Ok(Verdict::drop("told to"))),
            ("7 reject", 1, Ok(Verdict::dead_letter("told to"))),
            ("7 fail", 1, Err(Error::new("told to"))),
            ("7 flaky 2", 2, Err(Error::new("not yet"))),
            ("7 flaky 2", 3, Ok(Verdict::done([output("7 flaky 2 x")]))),
            ("7", 1, Err(Error::new("the record tells nothing"))),
        ] {
            let message = Message::new(value).with_key("k").with_attempt(attempt);
            assert_eq!(module.handle(message), verdict, "{value}");
        }
    }

    #[test]
    fn one_that_is_mended_does_what_it_could_not() {
        let mut module = <Scripted as Consumer>::init(&Config::from([("mended", "")])).unwrap();
        for value in ["7 reject", "7 fail", "7 retry"] {
            let done = Verdict::done([Output::new().value(value)]);
            assert_eq!(module.handle(Message::new(value)), Ok(done));
        }
    }

    #[test]
    fn a_filter_keeps_what_has_its_word() {
        let mut module = <Scripted as Filter>::init(&Config::from([("keep", "b")])).unwrap();
        assert_eq!(module.matches(Message::new("a b")), Ok(true));
        assert_eq!(module.matches(Message::new("a c")), Ok(false));
        assert_eq!(module.matches(Message::new("b fail")), Err(Error::new("told to")));
    }
}
