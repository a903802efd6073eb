//! `logmill dlq edit`.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use logmill_client::{LetterEdit, Offset};
use logmill_model::{DeploymentName, limits::RECORD_BYTES_MAX};
use serde::Serialize;

use crate::{Failure, Session};

/// Put a dead letter with another value in the place of one
///
/// Key, headers, times and the reason stay. The new letter lies at the end of its partition and is what
/// a redrive sends; the one before is purged.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill dlq edit triage 7 --value-file mended.json")]
pub(crate) struct Args {
    /// The deployment
    name: DeploymentName,
    /// Where the letter lies in the dead-letter topic
    offset: u64,
    /// The file with the new value
    #[arg(long, value_name = "F")]
    value_file: PathBuf,
    /// The partition of the dead-letter topic, where it has several
    #[arg(long, value_name = "P")]
    partition: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Edited<'a> {
    topic: &'a str,
    partition: u32,
    /// Where the new letter lies.
    offset: Offset,
    edited_from: Offset,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let value = read(&self.value_file)?;
        let admin = session.admin().await?;
        let deployment = admin.deployment(self.name.clone()).await?;
        let topic = admin.topic(deployment.settings.dlq).await?;
        let partition = match (self.partition, topic.partitions.len()) {
            (Some(partition), _) => partition,
            (None, 1) => 0,
            (None, count) => {
                let name = &topic.name;
                let what =
                    format!("topic {name} has {count} partitions; say which one with --partition");
                return Err(Failure::usage(what));
            }
        };
        let (name, edited_from) = (self.name, Offset(self.offset));
        let edit = LetterEdit { name, partition, offset: edited_from };
        let offset = admin.edit_dead_letter(edit, value).await?;
        let topic = topic.name.as_str();
        session.output.json(&Edited { topic, partition, offset, edited_from })?;
        session.output.text(format_args!(
            "{topic}/{partition}@{offset} takes the place of offset {edited_from}, which is purged"
        ))
    }
}

/// A value, or as much of it as is too large.
fn read(path: &Path) -> Result<Bytes, Failure> {
    let what = || format!("can't read {}", path.display());
    let file = File::open(path).with_context(what)?;
    let mut value = Vec::new();
    file.take(RECORD_BYTES_MAX as u64 + 1).read_to_end(&mut value).with_context(what)?;
    Ok(value.into())
}
