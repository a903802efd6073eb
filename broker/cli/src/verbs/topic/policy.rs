//! The policy of a topic as it is typed and shown.

use logmill_model::{Limit, OnFull, PolicyChange, TopicPolicy, Window};

use crate::quantity::{parse_bytes, parse_ms, shown_bytes};
use crate::time::shown_span;

/// What was typed of a policy.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Flags {
    /// Remove records that were appended longer ago than this, as in 7d; or `unlimited`
    #[arg(long, value_name = "D", value_parser = parse_time, allow_hyphen_values = true)]
    retention_time: Option<Limit>,
    /// How much each partition keeps, as in 1GiB, before its oldest records go; or `unlimited`
    #[arg(long, value_name = "B", value_parser = parse_size, allow_hyphen_values = true)]
    retention_bytes: Option<Limit>,
    /// Remove older records of a key once there is a newer one; `--compact=false` stops that
    #[arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    compact: Option<bool>,
    /// What a partition does that has its retention-bytes: drop-oldest, or reject what is produced
    #[arg(long, value_name = "drop-oldest|reject")]
    on_full: Option<OnFull>,
    /// How long a record with the same header idempotency-key as an earlier one is not stored again, as
    /// in 5m; or `off`
    #[arg(long, value_name = "D", value_parser = parse_window, allow_hyphen_values = true)]
    dedupe_window: Option<Window>,
}

fn parse_window(text: &str) -> Result<Window, String> {
    match text {
        "off" => Ok(Window::Off),
        _ => parse_ms(text).map(Window::Of).map_err(|why| format!("{why}, or `off`")),
    }
}

fn parse_time(text: &str) -> Result<Limit, String> {
    limit(text, parse_ms)
}

fn parse_size(text: &str) -> Result<Limit, String> {
    limit(text, parse_bytes)
}

fn limit(text: &str, parse: fn(&str) -> Result<u64, String>) -> Result<Limit, String> {
    match text {
        "unlimited" => Ok(Limit::Unlimited),
        _ => parse(text).map(Limit::Of).map_err(|why| format!("{why}, or `unlimited`")),
    }
}

impl Flags {
    /// What they ask to change.
    pub(super) fn change(self) -> PolicyChange {
        let Self { retention_time, retention_bytes, compact, on_full, dedupe_window } = self;
        PolicyChange {
            retention_time_ms: retention_time,
            retention_bytes,
            compact,
            on_full,
            dedupe_window_ms: dedupe_window,
        }
    }
}

/// A policy for people, a line for each part.
pub(super) fn shown(policy: &TopicPolicy) -> [String; 5] {
    let unlimited = || "unlimited".to_owned();
    let bytes = |bytes| format!("{} of each partition", shown_bytes(bytes));
    [
        ("retention-time", policy.retention_time_ms.map_or_else(unlimited, shown_span)),
        ("retention-bytes", policy.retention_bytes.map_or_else(unlimited, bytes)),
        ("compact", if policy.compact { "yes" } else { "no" }.to_owned()),
        ("on-full", policy.on_full.as_str().to_owned()),
        ("dedupe-window", policy.dedupe_window_ms.map_or_else(|| "off".to_owned(), shown_span)),
    ]
    .map(|(name, value)| format!("  {name:<17}{value}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn change(line: &str) -> Result<PolicyChange, String> {
        let words = std::iter::once("alter").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(line.flags.change())
    }

    #[test]
    fn what_is_not_typed_is_not_changed() {
        let none = PolicyChange::default();
        for (line, expected) in [
            ("", none),
            (
                "--retention-time 7d --retention-bytes 1GiB",
                PolicyChange {
                    retention_time_ms: Some(Limit::Of(7 * 86_400_000)),
                    retention_bytes: Some(Limit::Of(1 << 30)),
                    ..none
                },
            ),
            (
                "--retention-time unlimited",
                PolicyChange { retention_time_ms: Some(Limit::Unlimited), ..none },
            ),
            ("--compact", PolicyChange { compact: Some(true), ..none }),
            ("--compact=false", PolicyChange { compact: Some(false), ..none }),
            (
                "--dedupe-window 5m",
                PolicyChange { dedupe_window_ms: Some(Window::Of(300_000)), ..none },
            ),
            ("--dedupe-window off", PolicyChange { dedupe_window_ms: Some(Window::Off), ..none }),
            ("--on-full reject", PolicyChange { on_full: Some(OnFull::Reject), ..none }),
        ] {
            assert_eq!(change(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn nonsense_is_told_with_what_would_do() {
        for (line, says) in [
            ("--retention-time 7", "bad time \"7\""),
            ("--retention-time -7d", "bad time \"-7d\""),
            ("--retention-bytes -5", "or `unlimited`"),
            ("--retention-bytes never", "bad size"),
            ("--on-full block", "drop-oldest or reject"),
            ("--dedupe-window -5m", "or `off`"),
            ("--compact=perhaps", "perhaps"),
        ] {
            let told = change(line).unwrap_err();
            assert!(told.contains(says), "{line}: {told}");
        }
    }
}
