//! How a command can end other than well, and the exit code of each way.

use std::process::ExitCode;

/// Why a command did not do what was asked. Its text is the one line that goes to stderr.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line asks for something that does not exist or does not fit together.
    #[error("{0}")]
    Usage(String),
    /// The command could not do what was asked.
    #[error("{}", with_causes(.0))]
    Failed(#[from] anyhow::Error),
    /// The command did what was asked, and the answer is no.
    #[error("{0}")]
    Negative(String),
    /// Nothing was asked, and what could be was shown.
    #[error("nothing to do")]
    HelpShown,
    /// Whoever reads stdout has seen enough, as in `logmill consume … | head`.
    #[error("stdout was closed")]
    StdoutClosed,
}

/// An error and its causes. Some errors tell their cause themselves: it is not told again.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

impl From<logmill_client::Error> for Failure {
    fn from(error: logmill_client::Error) -> Self {
        Self::Failed(anyhow::anyhow!(told(&error)))
    }
}

/// What a client's error says to a person: the code's name, by which the documents know it, and
/// the broker's words, unless these begin with the name themselves.
pub(crate) fn told(error: &logmill_client::Error) -> String {
    match error {
        logmill_client::Error::Refused { code, text, .. }
            if text.starts_with(&code.to_string()) =>
        {
            text.clone()
        }
        other => other.to_string(),
    }
}

impl Failure {
    /// A usage error, from anything that says what is wrong.
    pub(crate) fn usage(what: impl std::fmt::Display) -> Self {
        Self::Usage(what.to_string())
    }

    /// The process's exit code: 0 did it, 1 could not, 2 wrong usage, 3 the answer is no.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::StdoutClosed => 0,
            Self::Failed(_) => 1,
            Self::Usage(_) | Self::HelpShown => 2,
            Self::Negative(_) => 3,
        })
    }

    /// Whether there is something to tell on stderr.
    pub(crate) fn is_told(&self) -> bool {
        !matches!(self, Self::StdoutClosed | Self::HelpShown)
    }

    /// The text on one line, whatever the causes put into theirs.
    pub(crate) fn line(&self) -> String {
        let text = self.to_string();
        text.split('\n')
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

#[cfg(test)]
mod tests {
    use logmill_client::ErrorCode;

    use super::*;

    #[test]
    fn a_failure_is_one_line_with_its_causes() {
        let cause = anyhow::anyhow!("first\n  second\n\n").context("reading x");
        assert_eq!(Failure::from(cause).line(), "reading x: first second");
    }

    #[test]
    fn a_cause_that_an_error_tells_itself_is_told_once() {
        let told = anyhow::anyhow!("no space").context("can't write x: no space; free some");
        assert_eq!(Failure::from(told).line(), "can't write x: no space; free some");
    }

    #[test]
    fn a_refusal_names_its_code_once() {
        let refused = |code, text: &str| logmill_client::Error::Refused {
            code,
            index: None,
            retryable: false,
            no_side_effects: true,
            text: text.to_owned(),
        };
        for (code, text, expected) in [
            (
                ErrorCode::TopicExists,
                "topic t exists already",
                "topic exists: topic t exists already",
            ),
            (ErrorCode::ModuleRefused, "module refused: no wasm", "module refused: no wasm"),
            (ErrorCode::Internal, "", "internal: "),
        ] {
            assert_eq!(told(&refused(code, text)), expected);
        }
    }

    #[test]
    fn exit_codes_are_those_of_the_manual() {
        for (failure, code) in [
            (Failure::StdoutClosed, 0),
            (Failure::Failed(anyhow::anyhow!("x")), 1),
            (Failure::usage("x"), 2),
            (Failure::Negative("x".into()), 3),
        ] {
            assert_eq!(failure.exit_code(), ExitCode::from(code));
        }
    }
}
