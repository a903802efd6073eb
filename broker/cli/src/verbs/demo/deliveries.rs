//! The input many times over: each copy of a delivery is a delivery of its own, from a repository
//! of its own. Some deliveries come again, as GitHub sends them when an answer was late.

use std::collections::HashSet;
use std::path::Path;

use anyhow::Context as _;
use logmill_model::Record;

use crate::Failure;
use crate::input::Source;
use crate::mapping::{LineFormat, Mapping};

use super::copy::Copies;
use super::example::Example;

/// How often the example's input is produced.
pub(super) const COPIES: usize = 20;
/// The header that tells deliveries apart.
pub(super) const DELIVERY: &str = "delivery";
/// One of so many deliveries comes again, one copy of the input later.
const AGAIN_EVERY: usize = 7;
/// What the module can't handle until it is mended: whoever wrote it has no account any more.
const POISON: &[u8] = b"\"user\":null";

/// A record to be produced.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    /// What tells it from all others; only when it comes again, it comes under the same.
    pub(super) id: String,
    pub(super) origin: Origin,
    pub(super) record: Record,
}

/// Where a delivery is from, and so what should come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A copy of this line of the example's input.
    Copy { line: usize, copy: usize },
    /// It goes wrong for good.
    Malformed,
    /// This line of the ghosts; the poisoned ones go wrong until the module is mended.
    Ghost { line: usize, is_poisoned: bool },
}

/// All deliveries in the order in which they are produced. The malformed ones and the ghosts stand
/// in the middle.
pub(super) fn all(example: &Example) -> Result<Vec<Delivery>, Failure> {
    let Source::File(path) = &example.feed.source else { return Ok(Vec::new()) };
    let originals = read(path, &example.feed.mapping)?;
    let odd = odd(example)?;
    let copies = Copies::new()?;
    let mut all = Vec::with_capacity(originals.len() * (COPIES + COPIES / AGAIN_EVERY + 1));
    let mut before: Vec<Delivery> = Vec::new();
    for copy in 0..COPIES {
        let of_line = |(line, record): &(usize, Record)| {
            Delivery::new(Origin::Copy { line: *line, copy }, copies.copied(record, copy)?)
        };
        let now = originals.iter().map(of_line).collect::<Result<Vec<_>, _>>()?;
        all.extend(now.iter().cloned());
        if copy == COPIES / 2 {
            all.extend(odd.iter().cloned());
        }
        all.extend(again(&before, copy).cloned());
        before = now;
    }
    Ok(all)
}

/// How many of these are not one that came before.
pub(super) fn different(all: &[Delivery]) -> usize {
    all.iter().map(|delivery| &delivery.id).collect::<HashSet<_>>().len()
}

/// Those of a copy that come again: others for each copy.
fn again(copy: &[Delivery], number: usize) -> impl Iterator<Item = &Delivery> {
    copy.iter().skip(number % AGAIN_EVERY).step_by(AGAIN_EVERY)
}

/// The malformed ones, then the ghosts.
fn odd(example: &Example) -> Result<Vec<Delivery>, Failure> {
    let mapping = Mapping { format: LineFormat::Record, ..Mapping::default() };
    let mut odd = Vec::new();
    for (_, record) in read(&example.malformed, &mapping)? {
        odd.push(Delivery::new(Origin::Malformed, record)?);
    }
    for (line, record) in read(&example.ghosts, &mapping)? {
        let value = record.value.as_deref().unwrap_or_default();
        let is_poisoned = value.windows(POISON.len()).any(|part| part == POISON);
        odd.push(Delivery::new(Origin::Ghost { line, is_poisoned }, record)?);
    }
    Ok(odd)
}

fn read(path: &Path, mapping: &Mapping) -> Result<Vec<(usize, Record)>, Failure> {
    let shown = path.display();
    let text = std::fs::read(path).with_context(|| format!("can't read {shown}"))?;
    let mut records = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let record = mapping
            .record(line)
            .map_err(|why| anyhow::anyhow!("line {} of {shown} {why}", index + 1))?;
        records.extend(record.map(|record| (index + 1, record)));
    }
    Ok(records)
}

impl Delivery {
    fn new(origin: Origin, record: Record) -> Result<Self, Failure> {
        Ok(Self { id: id(&record)?, origin, record })
    }
}

/// What tells a record from all others.
pub(super) fn id(record: &Record) -> Result<String, Failure> {
    let header = record.header(DELIVERY).context("a record has no delivery header")?;
    Ok(String::from_utf8_lossy(header).into_owned())
}
