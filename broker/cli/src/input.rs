//! Records from a file or from stdin, read and mapped by a thread of their own.
//!
//! Records come in groups: what the thread has read without waiting. So a slow pipe is passed on
//! line by line, and a file in large pieces. The queue between is bounded in bytes, since both
//! groups and lines are.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use logmill_model::Record;
use tokio::sync::mpsc;

use crate::Failure;
use crate::mapping::{BadLine, Mapping};

/// Longest line, in bytes: more than a record may have, since pointers take a part of it.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// A group is sent on once it has this many bytes of lines.
const GROUP_BYTES: usize = 64 << 10;
/// How many groups wait to be produced.
const GROUPS_MAX: usize = 8;

/// Where lines come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Stdin,
    File(PathBuf),
}

impl Source {
    /// `-` is stdin.
    pub(crate) fn of(path: &Path) -> Self {
        if path == Path::new("-") { Self::Stdin } else { Self::File(path.to_owned()) }
    }
}

/// Why reading stopped before the end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error("line {number} {why}")]
    Line { number: u64, why: BadLine },
    #[error("line {number} has more than {LINE_BYTES_MAX} bytes")]
    LongLine { number: u64 },
    #[error("can't read line {number}: {why}")]
    Io { number: u64, why: io::Error },
}

/// A line that is a record.
#[derive(Debug)]
pub(crate) struct Line {
    /// Its number in the source, from 1.
    pub(crate) number: u64,
    pub(crate) record: Record,
}

/// The records of a source, in order.
#[derive(Debug)]
pub(crate) struct Records {
    groups: mpsc::Receiver<Result<Vec<Line>, Stop>>,
}

impl Records {
    /// Opens the source and begins to read.
    pub(crate) fn open(source: &Source, mapping: Mapping) -> Result<Self, Failure> {
        Ok(Self::read(open(source)?, mapping))
    }

    fn read(bytes: Box<dyn Read + Send>, mapping: Mapping) -> Self {
        let (sender, groups) = mpsc::channel(GROUPS_MAX);
        let lines = BufReader::with_capacity(GROUP_BYTES, bytes);
        let mut reader = Reader { lines, mapping, number: 0 };
        tokio::task::spawn_blocking(move || {
            loop {
                let (records, end) = reader.group();
                let is_open = records.is_empty() || sender.blocking_send(Ok(records)).is_ok();
                match end {
                    End::More if is_open => {}
                    End::Stop(stop) => {
                        // When nobody listens any more, nobody wants to know why it stopped.
                        let _ = sender.blocking_send(Err(stop));
                        return;
                    }
                    End::More | End::Source => return,
                }
            }
        });
        Self { groups }
    }

    /// The next records; None at the end of the source.
    pub(crate) async fn next(&mut self) -> Option<Result<Vec<Line>, Stop>> {
        self.groups.recv().await
    }
}

fn open(source: &Source) -> Result<Box<dyn Read + Send>, Failure> {
    Ok(match source {
        Source::Stdin => Box::new(io::stdin()),
        Source::File(path) => {
            Box::new(File::open(path).with_context(|| format!("can't read {}", path.display()))?)
        }
    })
}

struct Reader {
    lines: BufReader<Box<dyn Read + Send>>,
    mapping: Mapping,
    number: u64,
}

/// What ended a group.
enum End {
    More,
    Source,
    Stop(Stop),
}

/// What was read.
enum Piece {
    Line(Line, usize),
    Blank,
    End,
}

impl Reader {
    /// The records that can be read without waiting, at least one unless it ends there.
    fn group(&mut self) -> (Vec<Line>, End) {
        let (mut records, mut bytes) = (Vec::new(), 0);
        loop {
            match self.line() {
                Ok(Piece::Line(line, line_bytes)) => {
                    records.push(line);
                    bytes += line_bytes;
                    // What is not in memory yet may take long to come.
                    if bytes >= GROUP_BYTES || !self.has_whole_line() {
                        return (records, End::More);
                    }
                }
                Ok(Piece::Blank) => {}
                Ok(Piece::End) => return (records, End::Source),
                Err(stop) => return (records, End::Stop(stop)),
            }
        }
    }

    fn has_whole_line(&self) -> bool {
        self.lines.buffer().contains(&b'\n')
    }

    fn line(&mut self) -> Result<Piece, Stop> {
        self.number += 1;
        let number = self.number;
        let mut line = Vec::new();
        let read = (&mut self.lines).take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line);
        let bytes = read.map_err(|why| Stop::Io { number, why })?;
        if bytes == 0 {
            return Ok(Piece::End);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.len() as u64 > LINE_BYTES_MAX {
            return Err(Stop::LongLine { number });
        }
        match self.mapping.record(&line) {
            Ok(Some(record)) => Ok(Piece::Line(Line { number, record }, bytes)),
            Ok(None) => Ok(Piece::Blank),
            Err(why) => Err(Stop::Line { number, why }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::mapping::LineFormat;

    /// Gives one piece a read, as a pipe does.
    struct Pieces(VecDeque<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(piece) = self.0.pop_front() else { return Ok(0) };
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    async fn groups(
        pieces: &[&'static str],
        format: LineFormat,
    ) -> (Vec<Vec<String>>, Option<Stop>) {
        let pieces = pieces.iter().map(|piece| piece.as_bytes()).collect();
        let mapping = Mapping { format, ..Mapping::default() };
        let mut records = Records::read(Box::new(Pieces(pieces)), mapping);
        let mut groups = Vec::new();
        while let Some(group) = records.next().await {
            let text = |line: Line| {
                String::from_utf8(line.record.value.unwrap_or_default().to_vec()).unwrap()
            };
            match group {
                Ok(group) => groups.push(group.into_iter().map(text).collect()),
                Err(stop) => return (groups, Some(stop)),
            }
        }
        (groups, None)
    }

    #[tokio::test]
    async fn lines_go_on_as_they_come_and_the_last_needs_no_end() {
        let (groups, stop) = groups(&["a\nb\n", "c\nd", "e\n\nf"], LineFormat::Lines).await;
        assert_eq!(groups, [vec!["a", "b"], vec!["c"], vec!["de", ""], vec!["f"]]);
        assert!(stop.is_none());
    }

    #[tokio::test]
    async fn reading_stops_at_a_bad_line_after_the_good_ones_before_it() {
        let (groups, stop) = groups(&["1\n\n2\nthree\n4\n"], LineFormat::Ndjson).await;
        assert_eq!(groups, [vec!["1", "2"]]);
        assert!(stop.unwrap().to_string().starts_with("line 4 is not JSON"));
    }

    #[tokio::test]
    async fn a_line_without_end_is_not_taken_into_memory() {
        let endless = io::repeat(b'x');
        let mut records = Records::read(Box::new(endless), Mapping::default());
        let stop = records.next().await.unwrap().unwrap_err();
        assert!(matches!(stop, Stop::LongLine { number: 1 }));
    }
}
