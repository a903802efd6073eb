//! What can go wrong for a client, and how to act on it.

use logmill_wire::{ErrorCode, Fault};

use crate::Fingerprint;

/// Why something was not done, or may not have been.
///
/// Act on [`is_retryable`](Self::is_retryable) and
/// [`has_no_side_effects`](Self::has_no_side_effects), or on [`code`](Self::code); the text is for
/// people. Only an idempotent producer sends anything again by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The broker refuses.
    #[error("{code}: {text}")]
    Refused {
        /// What went wrong.
        code: ErrorCode,
        /// Which record of a batch is to blame, where it is one.
        index: Option<u32>,
        /// Whether the same request may succeed later, unchanged.
        retryable: bool,
        /// Whether it is certain that nothing happened.
        no_side_effects: bool,
        /// What, why, what to do.
        text: String,
    },
    /// The connection was lost with the request unanswered: it happened whole or not at all.
    #[error(
        "the outcome is unknown: {reason}; it happened whole or not at all, so read back before sending it again"
    )]
    OutcomeUnknown {
        /// Why there is no answer.
        reason: String,
    },
    /// The connection is lost, and what was asked was not begun.
    #[error("not connected: {}{reason}; connect again", code.map_or_else(String::new, |code| format!("{code}: ")))]
    Disconnected {
        /// What the broker said when it closed the connection, if it did.
        code: Option<ErrorCode>,
        /// Why the connection is lost.
        reason: String,
    },
    /// No connection could be made.
    #[error("no connection to the broker at {address} ({origin}): {reason}")]
    Connect {
        /// Where the broker should be.
        address: String,
        /// Who says so: a file, an option.
        origin: String,
        /// Why there is none.
        reason: String,
    },
    /// The broker shows another certificate than the one that is trusted.
    #[error(
        "the broker at {address} shows the certificate {found}, not {expected}; is the connection file that of another broker?"
    )]
    Fingerprint {
        /// Where the broker is.
        address: String,
        /// The certificate that is trusted.
        expected: Fingerprint,
        /// The one it shows.
        found: Fingerprint,
    },
    /// Nothing says where the broker is.
    #[error(
        "no broker found: start one with `logmill dev` or `logmill serve`, or say where it is with --connect or LOGMILL_CONNECT"
    )]
    NoBroker,
    /// A connection file can't be used.
    #[error("can't use the connection file {path}: {what}")]
    ConnectionFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// What the program asks for can't be.
    #[error("{0}")]
    Options(String),
    /// A record or batch breaks a rule and was not sent.
    #[error(transparent)]
    Invalid(#[from] logmill_model::Error),
    /// A topic has fewer partitions, and the record was not sent.
    #[error("the topic has no partition {partition}; it has {partitions}, from 0")]
    NoSuchPartition {
        /// The one asked for.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
    /// The broker sent what the protocol does not allow.
    #[error("the broker does not keep to the protocol: {0}")]
    Protocol(String),
}

impl Error {
    /// The broker's code, when it gave one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Disconnected { code, .. } => *code,
            Self::OutcomeUnknown { .. } => Some(ErrorCode::Unknown),
            _ => None,
        }
    }

    /// Whether the same thing may succeed later, unchanged. Where
    /// [`has_no_side_effects`](Self::has_no_side_effects) is false, doing it again may do it twice.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { retryable, .. } => *retryable,
            Self::Disconnected { code, .. } => code.is_none_or(ErrorCode::is_retryable),
            Self::Connect { .. } => true,
            _ => false,
        }
    }

    /// Whether it is certain that nothing happened.
    #[must_use]
    pub fn has_no_side_effects(&self) -> bool {
        match self {
            Self::Refused { no_side_effects, .. } => *no_side_effects,
            Self::OutcomeUnknown { .. } | Self::Protocol(_) => false,
            _ => true,
        }
    }

    /// This end of a stream as the error of what was not sent.
    pub(crate) fn of_unsent(&self) -> Self {
        match self {
            Self::Disconnected { .. } => self.clone(),
            other => Self::Disconnected { code: other.code(), reason: other.to_string() },
        }
    }

    /// This end of a stream as the error of what was sent and has no answer. A fault that ends a
    /// stream comes behind the answers to all that the broker has taken.
    pub(crate) fn of_unanswered(&self) -> Self {
        let reason = match self {
            Self::Refused { no_side_effects: true, .. } => return self.of_unsent(),
            Self::Disconnected { code: Some(code), reason } => format!("{code}: {reason}"),
            Self::Disconnected { code: None, reason } => reason.clone(),
            other => other.to_string(),
        };
        Self::OutcomeUnknown { reason }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Refused {
            code: fault.code,
            index: fault.index,
            retryable: fault.retryable,
            no_side_effects: fault.no_side_effects,
            text: fault.text,
        }
    }
}

impl From<logmill_wire::Error> for Error {
    fn from(error: logmill_wire::Error) -> Self {
        Self::Protocol(error.to_string())
    }
}

impl From<quinn::ConnectionError> for Error {
    fn from(error: quinn::ConnectionError) -> Self {
        let quinn::ConnectionError::ApplicationClosed(close) = error else {
            return Self::Disconnected { code: None, reason: error.to_string() };
        };
        let code = u16::try_from(close.error_code.into_inner()).ok().filter(|number| *number != 0);
        let text = String::from_utf8_lossy(&close.reason);
        let code = code.map(ErrorCode::from_number);
        let reason = match code {
            Some(_) if !text.is_empty() => text.into_owned(),
            _ => "the broker closed the connection".to_owned(),
        };
        Self::Disconnected { code, reason }
    }
}

fn stream_given_up(code: quinn::VarInt) -> Error {
    let code = u16::try_from(code.into_inner()).ok().filter(|number| *number != 0);
    let code = code.map(ErrorCode::from_number);
    Error::Disconnected { code, reason: "the broker gave the stream up".to_owned() }
}

impl From<quinn::ReadError> for Error {
    fn from(error: quinn::ReadError) -> Self {
        match error {
            quinn::ReadError::ConnectionLost(error) => error.into(),
            quinn::ReadError::Reset(code) => stream_given_up(code),
            other => Self::Disconnected { code: None, reason: other.to_string() },
        }
    }
}

impl From<quinn::WriteError> for Error {
    fn from(error: quinn::WriteError) -> Self {
        match error {
            quinn::WriteError::ConnectionLost(error) => error.into(),
            quinn::WriteError::Stopped(code) => stream_given_up(code),
            other => Self::Disconnected { code: None, reason: other.to_string() },
        }
    }
}
