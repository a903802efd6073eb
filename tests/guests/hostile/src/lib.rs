//! A module in all three worlds that commits the offence that a record names, so that a test can
//! see that each is stopped for its own reason and disturbs nobody else.
//!
//! A value is words: an id, what to do, and a number. What isn't listed is done without outputs.
//!
//! | words | what it does | reason |
//! |---|---|---|
//! | `ID loop` | computes for ever | `deadline` |
//! | `ID storm` | calls the broker for ever | `deadline` |
//! | `ID recurse` | calls itself for ever | `trap` |
//! | `ID panic` | panics | `trap` |
//! | `ID random [BYTES]` | wants that many random bytes at once (4 GB unless told) | `trap` |
//! | `ID grow [MIB]` | takes that much memory (for ever unless told) | `memory` |
//! | `ID giant [BYTES]` | one output of that size (8 MB unless told) | `output-limit`, `invalid-output` |
//! | `ID outputs [N]` | that many empty outputs (200,000 unless told) | `output-limit` |
//! | `ID reserved` | an output with a header that is the broker's | `invalid-output` |
//! | `ID elsewhere` | an output to a topic that nobody granted | `not-granted` |
//! | `ID flood [LINES]` | that many lines of log (1,000,000 unless told), then done | |
//! | `ID until N` | panics in every attempt before the Nth, then done | `trap` |
//!
//! Config: `init` is what `init` does, as the second word.

use std::hint::black_box;

use logmill_module::prelude::*;

struct Hostile;

impl Hostile {
    fn new(config: &Config) -> Result<Self> {
        if let Some(verb) = config.get("init") {
            misbehave(verb, None, 1)?;
        }
        Ok(Self)
    }

    fn obey(&self, message: &Message) -> Result<Vec<Output>> {
        let mut words = message.value_text()?.split(' ').skip(1);
        let verb = words.next().unwrap_or_default();
        let number = words.next().map(str::parse).transpose()?;
        misbehave(verb, number, message.attempt)
    }
}

fn misbehave(verb: &str, number: Option<usize>, attempt: u32) -> Result<Vec<Output>> {
    match verb {
        "loop" => loop {
            black_box(());
        },
        "storm" => loop {
            black_box(clock::now_ms());
        },
        "recurse" => drop(black_box(deeper(1))),
        "panic" => fall(),
        "random" => {
            let count = number.map_or(Ok(u32::MAX), u32::try_from)?;
            drop(black_box(random::bytes(count)));
        }
        "grow" => drop(black_box(hoard(number.unwrap_or(usize::MAX)))),
        "giant" => return Ok(vec![Output::new().value(vec![b'x'; number.unwrap_or(8_000_000)])]),
        "outputs" => return Ok(vec![Output::new(); number.unwrap_or(200_000)]),
        "reserved" => return Ok(vec![Output::new().header("dlq-reason", "none")]),
        "elsewhere" => return Ok(vec![Output::to("nobody.granted.this")]),
        "flood" => (0..number.unwrap_or(1_000_000)).for_each(|line| info!("line {line}")),
        "until" if (attempt as usize) < number.unwrap_or(2) => fall(),
        _ => {}
    }
    Ok(Vec::new())
}

#[expect(clippy::panic, reason = "this is the offence")]
fn fall() -> ! {
    panic!("told to panic")
}

fn deeper(depth: u64) -> u64 {
    if black_box(depth) == 0 { 0 } else { deeper(black_box(depth + 1)) + black_box(1) }
}

/// Takes memory a MiB at a time and writes to each page of it.
fn hoard(mib: usize) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for _ in 0..mib {
        all.push(black_box(vec![1; 1 << 20]));
    }
    all
}

impl Consumer for Hostile {
    fn init(config: &Config) -> Result<Self> {
        Self::new(config)
    }

    fn handle(&mut self, message: Message) -> Result<Verdict> {
        Ok(Verdict::done(self.obey(&message)?))
    }
}

impl Router for Hostile {
    fn init(config: &Config) -> Result<Self> {
        Self::new(config)
    }

    fn route(&mut self, message: Message) -> Result<Vec<Output>> {
        self.obey(&message)
    }
}

impl Filter for Hostile {
    fn init(config: &Config) -> Result<Self> {
        Self::new(config)
    }

    fn matches(&mut self, message: Message) -> Result<bool> {
        self.obey(&message).map(|outputs| outputs.is_empty())
    }
}

logmill_module::consumer!(Hostile);
logmill_module::router!(Hostile);
logmill_module::filter!(Hostile);

#[cfg(test)]
mod tests {
    use super::*;

    fn obeyed(value: &str, attempt: u32) -> Vec<Output> {
        Hostile.obey(&Message::new(value).with_attempt(attempt)).unwrap()
    }

    #[test]
    fn an_offence_is_of_the_size_that_was_asked_for() {
        assert_eq!(obeyed("1 giant 10", 1)[0].value.as_ref().unwrap().len(), 10);
        assert_eq!(obeyed("1 outputs 3", 1).len(), 3);
        assert_eq!(obeyed("1 grow 2", 1), []);
        assert_eq!(obeyed("1 until 2", 2), []);
        assert_eq!(obeyed("1 anything", 1), []);
    }

    #[test]
    #[should_panic(expected = "told to panic")]
    fn an_attempt_before_the_last_panics() {
        obeyed("1 until 3", 2);
    }
}
