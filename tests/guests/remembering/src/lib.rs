//! A consumer that remembers and claims what a record tells it to, so that a test can say beforehand
//! what becomes of each record, of the state and of the claims.
//!
//! A value is words: an id, what to do, and its arguments. Records without one of these words are done
//! with one output, their own key and value.
//!
//! | words | what it does |
//! |---|---|
//! | `ID once KEY [VERDICT]` | claims `KEY`; seen: drops it and says by whom; first: an output, or as `VERDICT` says |
//! | `ID count KEY [VERDICT]` | adds 1 to the number under `KEY` and outputs `KEY NUMBER`, or as `VERDICT` says |
//! | `ID get KEY` | outputs `KEY VALUE`; `KEY -` where there is none |
//! | `ID delete KEY` | deletes `KEY` |
//! | `ID large BYTES` | sets a value of that size |
//! | `ID long BYTES` | claims a key of that length |
//! | `ID wait MS` | asks for a retry after so long |
//!
//! `VERDICT` is `drop`, `reject`, `fail` (an error at every attempt), `flaky` (an error at the first
//! attempt) or `panic`.

use logmill_module::prelude::*;

struct Remembering;

impl Consumer for Remembering {
    fn init(_: &Config) -> Result<Self> {
        Ok(Self)
    }

    fn handle(&mut self, message: Message) -> Result<Verdict> {
        let words: Vec<&str> = message.value_text()?.split(' ').collect();
        let word = |at: usize| words.get(at).copied().context("the record tells too little");
        let number = |at: usize| Ok::<_, Error>(word(at)?.parse::<usize>()?);
        match words.get(1).copied().unwrap_or_default() {
            "once" => match idempotency::claim_key(word(2)?) {
                Claim::First => finish(words.get(3), &message, echo(&message)),
                Claim::Seen(Position { topic, partition, offset }) => {
                    info!("{} was seen at {topic}/{partition}@{offset}", word(2)?);
                    Ok(Verdict::drop("seen"))
                }
            },
            "count" => {
                let key = word(2)?;
                let count: u64 = state::get_text(key)?.as_deref().unwrap_or("0").parse()?;
                state::set(key, (count + 1).to_string());
                let said = Output::new().key(key).value(format!("{key} {}", count + 1));
                finish(words.get(3), &message, said)
            }
            "get" => {
                let value = state::get_text(word(2)?)?;
                let said = format!("{} {}", word(2)?, value.as_deref().unwrap_or("-"));
                Ok(Verdict::done([Output::new().value(said)]))
            }
            "delete" => {
                state::delete(word(2)?);
                Ok(Verdict::done([]))
            }
            "large" => {
                state::set(word(0)?, vec![b'x'; number(2)?]);
                Ok(Verdict::done([]))
            }
            "long" => match idempotency::claim_key(&"k".repeat(number(2)?)) {
                Claim::First => Ok(Verdict::done([])),
                Claim::Seen(_) => Ok(Verdict::drop("seen")),
            },
            "wait" => {
                let wait = std::time::Duration::from_millis(word(2)?.parse()?);
                Ok(Verdict::Retry(Retry { after: Some(wait), reason: "told to".to_owned() }))
            }
            _ => Ok(Verdict::done([echo(&message)])),
        }
    }
}

/// The record again, as an output.
fn echo(message: &Message) -> Output {
    Output { key: message.key.clone(), value: message.value.clone(), ..Output::new() }
}

#[expect(clippy::panic, reason = "a record tells it to")]
fn finish(verdict: Option<&&str>, message: &Message, output: Output) -> Result<Verdict> {
    match verdict.copied() {
        None => Ok(Verdict::done([output])),
        Some("drop") => Ok(Verdict::drop("told to")),
        Some("reject") => Ok(Verdict::dead_letter("told to")),
        Some("flaky") if message.attempt > 1 => Ok(Verdict::done([output])),
        Some("panic") => panic!("told to"),
        Some(_) => Err(Error::new("told to")),
    }
}

logmill_module::consumer!(Remembering);

#[cfg(test)]
mod tests {
    use super::*;
    use logmill_module::testing::TestHost;

    #[test]
    fn a_record_is_remembered_as_it_says() {
        let by = Position { topic: "t".to_owned(), partition: 0, offset: 3 };
        let host = TestHost::new().with_state("a", "6").with_claimed("old", by);
        let output = |value: &str| Output::new().value(value);
        for (value, verdict) in [
            ("1 once new", Ok(Verdict::done([output("1 once new")]))),
            ("1 once old", Ok(Verdict::drop("seen"))),
            ("1 once b drop", Ok(Verdict::drop("told to"))),
            ("1 count a", Ok(Verdict::done([output("a 7").key("a")]))),
            ("1 count a fail", Err(Error::new("told to"))),
            ("1 get none", Ok(Verdict::done([output("none -")]))),
            ("1 delete a", Ok(Verdict::done([]))),
            ("1 get a", Ok(Verdict::done([output("a -")]))),
            ("1", Ok(Verdict::done([output("1")]))),
        ] {
            assert_eq!(Remembering.handle(Message::new(value)), verdict, "{value}");
        }
        assert_eq!(host.claims(), ["new", "b"]);
    }
}
