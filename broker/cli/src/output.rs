//! The one way to stdout: lines and tables for people, one JSON object a line for scripts.
//!
//! Nothing else in the program writes to stdout, so `-o json` holds by construction, and a
//! closed pipe is an ending like any other instead of a panic.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::Failure;

/// What stdout is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Stdout, as one of the two.
pub(crate) struct Output {
    format: OutputFormat,
    out: Box<dyn Write + Send>,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("format", &self.format).finish_non_exhaustive()
    }
}

impl Output {
    /// The process's stdout.
    pub(crate) fn stdout(format: OutputFormat) -> Self {
        Self { format, out: Box::new(BufWriter::new(io::stdout())) }
    }

    /// Whether scripts read it.
    pub(crate) fn is_json(&self) -> bool {
        self.format == OutputFormat::Json
    }

    /// A line for people; nothing under `-o json`.
    pub(crate) fn text(&mut self, line: impl Display) -> Result<(), Failure> {
        if self.is_json() { Ok(()) } else { self.raw(line) }
    }

    /// An object for scripts; nothing otherwise.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        if !self.is_json() {
            return Ok(());
        }
        let line = serde_json::to_string(value).map_err(anyhow::Error::from)?;
        self.raw(line)
    }

    /// Rows under a head for people; nothing under `-o json` and nothing without rows.
    pub(crate) fn table(&mut self, head: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
        if self.is_json() || rows.is_empty() {
            return Ok(());
        }
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(head.iter().map(|title| title.to_uppercase()));
        table.add_rows(rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in table.lines() {
            self.raw(line.trim_end())?;
        }
        Ok(())
    }

    /// Hands over what has been written so far; before every wait, so that a reader is never
    /// behind what the broker has told.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(closed_or_failed)
    }

    fn raw(&mut self, line: impl Display) -> Result<(), Failure> {
        writeln!(self.out, "{line}").map_err(closed_or_failed)
    }
}

fn closed_or_failed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::StdoutClosed,
        _ => Failure::Failed(anyhow::Error::from(error).context("can't write to stdout")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: OutputFormat) -> String {
        let shared = Shared::default();
        let mut output = Output { format, out: Box::new(shared.clone()) };
        output.text("for people").unwrap();
        output.json(&serde_json::json!({"for": "scripts"})).unwrap();
        output.table(&["name", "end"], vec![vec!["orders".into(), "3".into()]]).unwrap();
        output.flush().unwrap();
        let bytes = shared.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn each_reader_sees_its_own_form_and_nothing_else() {
        assert_eq!(written(OutputFormat::Text), "for people\nNAME    END\norders  3\n");
        assert_eq!(written(OutputFormat::Json), "{\"for\":\"scripts\"}\n");
    }

    #[test]
    fn a_closed_pipe_is_told_from_a_broken_disk() {
        assert!(matches!(
            closed_or_failed(io::Error::from(io::ErrorKind::BrokenPipe)),
            Failure::StdoutClosed
        ));
        assert!(matches!(
            closed_or_failed(io::Error::from(io::ErrorKind::StorageFull)),
            Failure::Failed(_)
        ));
    }
}
