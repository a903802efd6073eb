//! What can be typed: the table of verbs, and the flags that all of them have.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::verbs::{
    backup, bench, clock, consume, demo, dev, dlq, inspect, module, produce, serve, status, topic,
    trace,
};
use crate::{Failure, Hooks, Output, OutputFormat, Session, logging};

/// A durable log broker that runs your WebAssembly modules
#[derive(Debug, Parser)]
#[command(
    name = "logmill",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Example:\n  logmill dev\n  logmill produce greetings hello\n  logmill consume greetings"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Args)]
struct Global {
    /// How to print: for people, or one JSON object a line for scripts
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    output: OutputFormat,
    /// The broker to talk to: a connection file, or quic://HOST:PORT
    ///
    /// Without it: LOGMILL_CONNECT, then the nearest .logmill/connection.json upwards, then the
    /// one in the user's runtime folder. quic:// takes the token from LOGMILL_TOKEN and the
    /// certificate's fingerprint from LOGMILL_FINGERPRINT.
    #[arg(long, global = true, value_name = "FILE|quic://HOST:PORT")]
    connect: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Demo(demo::Args),
    Dev(dev::Args),
    Serve(serve::Args),
    Status(status::Args),
    Backup(backup::Args),
    #[command(subcommand)]
    Clock(clock::Verb),
    #[command(subcommand)]
    Topic(topic::Verb),
    Produce(produce::Args),
    Consume(consume::Args),
    #[command(subcommand)]
    Module(module::Verb),
    #[command(subcommand)]
    Dlq(dlq::Verb),
    Trace(trace::Args),
    #[command(subcommand)]
    Inspect(inspect::Verb),
    #[command(subcommand)]
    Bench(bench::Verb),
}

/// Why there is no command to run.
#[derive(Debug)]
pub(crate) enum Unread {
    /// Help or the version was asked for, and printed.
    Told,
    /// It can't be understood.
    Wrong(Failure),
}

impl Cli {
    /// Turns what was typed into a command.
    pub(crate) fn read(args: &[OsString]) -> Result<Self, Unread> {
        Self::try_parse_from(args).map_err(|error| {
            if !error.use_stderr() {
                // Whoever asked for help and does not read it misses nothing.
                let _ = error.print();
                return Unread::Told;
            }
            if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
                let _ = error.print();
                return Unread::Wrong(Failure::HelpShown);
            }
            let said = on_one_line(&error.render().to_string());
            Unread::Wrong(Failure::Usage(format!("{said}; see `{} --help`", verb_of(args))))
        })
    }

    /// Does it.
    pub(crate) async fn run(self, hooks: Hooks) -> Result<(), Failure> {
        let output = Output::stdout(self.global.output);
        let mut session = Session::new(output, self.global.connect, hooks);
        logging::start(match self.verb {
            Verb::Serve(_) => logging::Level::Broker,
            _ => logging::Level::Command,
        })?;
        let done = self.verb.run(&mut session).await;
        // What was printed before something went wrong is seen before the reason.
        let flushed = session.output.flush();
        session.close().await;
        done.and(flushed)
    }
}

impl Verb {
    async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::Demo(args) => args.run(session).await,
            Self::Dev(args) => args.run(session).await,
            Self::Serve(args) => args.run(session).await,
            Self::Status(args) => args.run(session).await,
            Self::Backup(args) => args.run(session).await,
            Self::Clock(verb) => verb.run(session).await,
            Self::Topic(verb) => verb.run(session).await,
            Self::Produce(args) => args.run(session).await,
            Self::Consume(args) => args.run(session).await,
            Self::Module(verb) => verb.run(session).await,
            Self::Dlq(verb) => verb.run(session).await,
            Self::Trace(args) => args.run(session).await,
            Self::Inspect(verb) => verb.run(session).await,
            Self::Bench(verb) => verb.run(session).await,
        }
    }
}

/// Clap's text without its paragraphs: what is wrong, and what may have been meant.
fn on_one_line(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let said = text.split("Usage:").next().unwrap_or(text);
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .filter(|line| !line.starts_with("tip: to pass"))
        .map(|line| line.strip_prefix("tip: ").unwrap_or(line))
        .collect();
    lines.join("; ").replace(":; ", ": ")
}

/// The verb that was typed, as far as there is one.
fn verb_of(args: &[OsString]) -> String {
    let mut verb = String::from("logmill");
    let mut at = Cli::command();
    for word in args.iter().skip(1).filter_map(|word| word.to_str()) {
        let Some(found) = at.find_subcommand(word).cloned() else { continue };
        verb = format!("{verb} {word}");
        at = found;
    }
    verb
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, Unread> {
        Cli::read(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_table_of_verbs_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_shows_an_example() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Example"), "{}", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn wrong_usage_is_one_line_that_says_where_to_read_on() {
        for (line, says) in [
            ("logmill topic create t --partition 3", "unexpected argument '--partition' found"),
            ("logmill topic create t --partition 3", "see `logmill topic create --help`"),
            ("logmill topic frobnicate", "unrecognized subcommand 'frobnicate'"),
            ("logmill consume", "required arguments were not provided: <TOPIC>"),
            ("logmill consume a/b", "bad topic name \"a/b\""),
            ("logmill module new x --world cat", "use consumer, router or filter"),
            ("logmill module new x --world cat", "see `logmill module new --help`"),
            ("logmill consume t --partitions 3", "a similar argument exists: '--partition'"),
            ("logmill topic create t --partitions -1", "unexpected argument '-1' found; see"),
            ("logmill topic create t --retention-time -1d", "bad time \"-1d\""),
            ("logmill consume t --from -15", "bad position \"-15\"; use earliest, latest,"),
        ] {
            let Err(Unread::Wrong(Failure::Usage(text))) = read(line) else {
                panic!("{line} is wrong usage");
            };
            assert!(text.contains(says) && !text.contains('\n'), "{line}: {text}");
        }
    }

    #[test]
    fn what_belongs_to_later_work_does_not_exist() {
        for line in [
            "logmill group ls",
            "logmill replay ls",
            "logmill consume t --group g",
            "logmill module versions m",
            "logmill module deploy m m.wasm --on t --instance fresh",
            "logmill bench consume",
            "logmill bench roundtrip",
            "logmill bench module",
        ] {
            assert!(matches!(read(line), Err(Unread::Wrong(Failure::Usage(_)))), "{line}");
        }
    }
}
