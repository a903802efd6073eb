//! A record on one line, for people.

use bytes::Bytes;
use logmill_model::Record;

/// The key, the headers and the value. What is no text, or would drive the terminal, is escaped.
pub(crate) fn shown(record: &Record) -> String {
    let mut line = String::new();
    if let Some(key) = &record.key {
        line.push_str(&text(key));
        line.push_str("  ");
    }
    for header in &record.headers {
        line.push_str(&format!("{}={}  ", escaped(&header.name), text(&header.value)));
    }
    match &record.value {
        Some(value) => line.push_str(&text(value)),
        None => line.push_str("(tombstone)"),
    }
    line
}

pub(crate) fn text(bytes: &Bytes) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => escaped(text),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use logmill_model::Header;

    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_is_in_it() {
        let record = Record {
            key: Some("k".into()),
            value: Some("é\n\u{1b}[2J".into()),
            headers: vec![Header::new("h", vec![0xff, b'a'])],
            ..Record::default()
        };
        assert_eq!(shown(&record), "k  h=\\xffa  é\\n\\u{1b}[2J");
        assert_eq!(shown(&Record::default()), "(tombstone)");
    }
}
