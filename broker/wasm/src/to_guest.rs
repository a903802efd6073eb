//! From the broker's types to those that a guest is given. Nothing is copied but the list of
//! headers' names and values, which only point.

use logmill_model::{Message, Source};

use crate::bindings::logmill::module::types;

/// The headers of a message as the guest's type borrows them.
pub(crate) fn headers(message: &Message) -> Vec<types::HeaderParam<'_>> {
    message.record.headers.iter().map(|header| (header.name.as_str(), &header.value[..])).collect()
}

/// The message with its `headers`.
pub(crate) fn message<'a>(
    message: &'a Message,
    headers: &'a [types::HeaderParam<'a>],
) -> types::Message<'a> {
    types::Message {
        topic: &message.topic,
        partition: message.partition,
        offset: message.offset.map(|offset| offset.0),
        key: message.record.key.as_deref(),
        value: message.record.value.as_deref(),
        headers,
        create_time: message.record.create_ts.0,
        append_time: message.append_ts.map(|time| time.0),
        attempt: message.attempt,
        first_failed_time: message.first_failed_ts.map(|time| time.0),
    }
}

/// A deployment's settings for the module.
pub(crate) fn config(config: &[(String, String)]) -> Vec<(&str, &str)> {
    config.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Where a record lies.
pub(crate) fn position(source: Source) -> types::Position {
    let Source { topic, partition, offset } = source;
    types::Position { topic, partition, offset: offset.0 }
}
