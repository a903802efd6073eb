//! The input of a project: which topic it goes to, and how its lines become records.

use logmill_build::project::Input;
use logmill_model::TopicName;

use crate::Failure;
use crate::input::Source;
use crate::mapping::{LineFormat, Mapping};

/// A project's input, checked.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) topic: TopicName,
    pub(crate) source: Source,
    pub(crate) mapping: Mapping,
}

impl Feed {
    pub(crate) fn of(input: &Input) -> Result<Self, Failure> {
        let pointer = |text: &String| text.parse().map_err(wrong);
        let some = |text: &Option<String>| text.as_ref().map(pointer).transpose();
        let headers = input.headers.iter();
        Ok(Self {
            topic: input.topic.parse().map_err(wrong)?,
            source: Source::File(input.file.clone()),
            mapping: Mapping {
                format: LineFormat::Ndjson,
                key: some(&input.key)?,
                value: some(&input.value)?,
                headers: headers
                    .map(|(name, text)| Ok((name.clone(), pointer(text)?)))
                    .collect::<Result<_, Failure>>()?,
                idempotency_key: some(&input.idempotency_key)?,
                fixed_headers: Vec::new(),
            },
        })
    }
}

fn wrong(why: impl std::fmt::Display) -> Failure {
    anyhow::anyhow!("bad `input` in logmill.toml: {why}").into()
}
