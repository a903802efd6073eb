//! The one table from what went wrong here to what a client is told.

use logmill_engine::Error as EngineError;
use logmill_model::{Error as ModelError, Refusal};
use logmill_wire::{Error as WireError, ErrorCode, Fault, FrameType};

use crate::stream::ReadEnd;

/// What a client is told when the engine did not do what it asked.
pub(crate) fn of_engine(error: &EngineError) -> Fault {
    let code = match error {
        EngineError::Invalid(error) => return of_model(error),
        EngineError::UnknownTopic(_) => ErrorCode::UnknownTopic,
        EngineError::TopicExists(_) => ErrorCode::TopicExists,
        EngineError::TopicInUse { .. } => ErrorCode::TopicInUse,
        EngineError::PartitionCount { .. } => ErrorCode::BadRequest,
        EngineError::UnknownPartition { .. } => ErrorCode::UnknownPartition,
        EngineError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        EngineError::TopicFull { .. } => ErrorCode::TopicFull,
        EngineError::UnknownDeployment(_) => ErrorCode::UnknownDeployment,
        EngineError::UnknownModule(_) => ErrorCode::UnknownModule,
        EngineError::ModuleRefused(_) => ErrorCode::ModuleRefused,
        EngineError::DeploymentRefused(_) | EngineError::FilterUnusable { .. } => {
            ErrorCode::DeploymentRefused
        }
        EngineError::Backup(_)
        | EngineError::ResetRefused { .. }
        | EngineError::LettersRefused(_) => ErrorCode::BadRequest,
        EngineError::LettersFull => ErrorCode::Overloaded,
        EngineError::RouterNotReady { .. } => ErrorCode::RouterNotReady,
        EngineError::RouterRefused { .. } => ErrorCode::RouterRefused,
        EngineError::FilterFailed { .. } => ErrorCode::FilterFailed,
        EngineError::FilterNotReady { .. } => ErrorCode::FilterNotReady,
        EngineError::Refused(refusal) => of_refusal(refusal),
        EngineError::DiskFull => ErrorCode::DiskFull,
        EngineError::CorruptRange(_)
        | EngineError::Corrupt(_)
        | EngineError::Unreadable { .. }
        | EngineError::StandsStill(_) => ErrorCode::Corrupt,
        EngineError::Unknown => ErrorCode::Unknown,
        EngineError::ShuttingDown => ErrorCode::ShuttingDown,
        EngineError::Log(_)
        | EngineError::UnreadableState { .. }
        | EngineError::Wasm(_)
        | EngineError::Io { .. }
        | EngineError::Panicked(_) => ErrorCode::Internal,
    };
    let index = match error {
        EngineError::RouterRefused { index, .. } => Some(*index),
        _ => None,
    };
    Fault {
        retryable: error.is_retryable(),
        no_side_effects: error.has_no_side_effects(),
        ..Fault::new(code, error.to_string()).at_record(index)
    }
}

fn of_refusal(refusal: &Refusal) -> ErrorCode {
    match refusal {
        Refusal::NoSuchPartition(_) => ErrorCode::UnknownPartition,
        Refusal::Full { .. } => ErrorCode::TopicFull,
        Refusal::EndMoved { partition, .. } if !partition.topic.is_internal() => {
            ErrorCode::EndMoved
        }
        Refusal::EndMoved { .. } | Refusal::StaleCursor(_) => ErrorCode::Overloaded,
        Refusal::TooLarge { .. } | Refusal::TooManyAppends { .. } => ErrorCode::BatchTooLarge,
        Refusal::DiskFull => ErrorCode::DiskFull,
        Refusal::Invalid { .. } => ErrorCode::BadRequest,
        Refusal::KeysFull(_) => ErrorCode::Overloaded,
        Refusal::KeysKnown { .. } | Refusal::Duplicate(_) | Refusal::OldDuplicate { .. } => {
            ErrorCode::Duplicate
        }
        Refusal::SequenceGap { .. } => ErrorCode::SequenceGap,
        Refusal::Fenced { .. } => ErrorCode::Fenced,
        Refusal::UnknownProducer(_) => ErrorCode::UnknownProducer,
    }
}

/// What a client is told of a value that it sent.
pub(crate) fn of_model(error: &ModelError) -> Fault {
    let (code, index) = match error {
        ModelError::TopicName(_) | ModelError::DeploymentName(_) | ModelError::ProducerName(_) => {
            (ErrorCode::BadName, None)
        }
        ModelError::Batch { .. } => (ErrorCode::MalformedBatch, None),
        ModelError::Checksum { .. } => (ErrorCode::Checksum, None),
        ModelError::BatchTooLarge { .. } => (ErrorCode::BatchTooLarge, None),
        ModelError::RecordTooLarge { index, .. } => (ErrorCode::RecordTooLarge, Some(*index)),
        ModelError::ReservedHeader { index, .. } => (ErrorCode::ReservedHeader, Some(*index)),
        ModelError::ClusterId(_)
        | ModelError::ModuleDigest(_)
        | ModelError::Position(_)
        | ModelError::TopicPolicy(_)
        | ModelError::Backoff(_)
        | ModelError::Idempotency(_)
        | ModelError::Layout { .. } => (ErrorCode::BadRequest, None),
    };
    Fault::new(code, error.to_string()).at_record(index)
}

/// What a client is told of a stream that makes no sense; None when it is not there to be told.
pub(crate) fn of_read(end: &ReadEnd) -> Option<Fault> {
    let code = match end {
        ReadEnd::Gone(_) => return None,
        ReadEnd::Malformed(WireError::TooLong { frame: FrameType::Produce, .. }) => {
            ErrorCode::BatchTooLarge
        }
        ReadEnd::Malformed(_) | ReadEnd::Cut | ReadEnd::Slow => ErrorCode::BadRequest,
    };
    Some(Fault::new(code, end.to_string()))
}

/// What a client is told of a message that is not what its frame says.
pub(crate) fn of_wire(error: &WireError) -> Fault {
    Fault::new(ErrorCode::BadRequest, error.to_string())
}

/// What a client is told when the broker stops.
pub(crate) fn shutting_down() -> Fault {
    Fault::new(
        ErrorCode::ShuttingDown,
        "the broker is shutting down; connect again when it is back",
    )
}

#[cfg(test)]
mod tests {
    use logmill_model::limits;

    use super::*;

    #[test]
    fn each_fault_of_a_batch_has_its_code_and_names_its_record() {
        for (error, code, index) in [
            (ModelError::Batch { what: "x" }, 20, None),
            (ModelError::Checksum { expected: 1, actual: 2 }, 21, None),
            (ModelError::BatchTooLarge { bytes: 9, max: 8 }, 22, None),
            (
                ModelError::RecordTooLarge { index: 3, bytes: 9, max: limits::RECORD_BYTES_MAX },
                23,
                Some(3),
            ),
            (ModelError::ReservedHeader { index: 4, name: "dlq-x".into() }, 24, Some(4)),
            (ModelError::TopicName("_x".into()), 10, None),
        ] {
            let fault = of_engine(&EngineError::Invalid(error.clone()));
            assert_eq!((fault.code.number(), fault.index), (code, index), "{error}");
            assert!(fault.no_side_effects);
            assert_eq!(fault.text, error.to_string());
        }
    }

    #[test]
    fn a_fault_says_what_the_engine_says_of_retries_and_effects() {
        for error in [EngineError::Unknown, EngineError::ShuttingDown] {
            let fault = of_engine(&error);
            assert_eq!(fault.retryable, error.is_retryable());
            assert_eq!(fault.no_side_effects, error.has_no_side_effects());
        }
    }
}
