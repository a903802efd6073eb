//! JSON pointers (RFC 6901) that give back the exact bytes they point at.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A place in a JSON document, as in `/payload/repository/full_name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl FromStr for Pointer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix('/') else {
            return if text.is_empty() {
                Ok(Self(Vec::new()))
            } else {
                Err(format!("bad JSON pointer {text:?}; it begins with /, as in /payload/id"))
            };
        };
        path.split('/').map(unescaped).collect::<Option<_>>().map(Self).ok_or_else(|| {
            format!("bad JSON pointer {text:?}; after ~ comes 0 (for ~) or 1 (for /)")
        })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = |token: &String| token.replace('~', "~0").replace('/', "~1");
        self.0.iter().try_for_each(|token| write!(f, "/{}", escaped(token)))
    }
}

fn unescaped(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        plain.push(match part.chars().next()? {
            '0' => '~',
            '1' => '/',
            _ => return None,
        });
        plain.push_str(&part[1..]);
    }
    Some(plain)
}

impl Pointer {
    /// What a record takes from here: the text of a string, anything else as its exact source
    /// bytes, nothing where the document has nothing or null.
    ///
    /// # Errors
    /// When the document turns out not to be JSON on the way.
    pub fn bytes(&self, document: &RawValue) -> Result<Option<Bytes>, serde_json::Error> {
        let Some(found) = self.find(document)? else { return Ok(None) };
        let source = found.get();
        if source == "null" {
            return Ok(None);
        }
        if source.starts_with('"') {
            return serde_json::from_str::<String>(source).map(|text| Some(text.into()));
        }
        Ok(Some(Bytes::copy_from_slice(source.as_bytes())))
    }

    /// Where in the document's text the thing lies that it points at.
    ///
    /// # Errors
    /// When the document turns out not to be JSON on the way.
    pub fn place(&self, document: &RawValue) -> Result<Option<Range<usize>>, serde_json::Error> {
        let Some(found) = self.find(document)? else { return Ok(None) };
        // What is found is a part of the document's text, so that addresses tell its place.
        let start = found.get().as_ptr() as usize - document.get().as_ptr() as usize;
        Ok(Some(start..start + found.get().len()))
    }

    fn find<'a>(&self, document: &'a RawValue) -> Result<Option<&'a RawValue>, serde_json::Error> {
        let mut at = document;
        for token in &self.0 {
            let mut source = serde_json::Deserializer::from_str(at.get());
            let found = match at.get().as_bytes().first() {
                Some(b'{') => Member(token).deserialize(&mut source)?,
                Some(b'[') => match index(token) {
                    Some(index) => Element(index).deserialize(&mut source)?,
                    None => None,
                },
                _ => None,
            };
            let Some(found) = found else { return Ok(None) };
            at = found;
        }
        Ok(Some(at))
    }
}

/// An array index has digits only, and no leading zero.
fn index(token: &str) -> Option<usize> {
    let digits = token.bytes().all(|byte| byte.is_ascii_digit());
    if digits && (token == "0" || !token.starts_with('0')) { token.parse().ok() } else { None }
}

/// Takes one member of an object and skips the others; the last one of its name counts, as it
/// does wherever else JSON is read into a map.
struct Member<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(Text(name)) = map.next_key()? {
            if name == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// A member's name, borrowed from the document where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct Element(usize);

impl<'de> DeserializeSeed<'de> for Element {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Element {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let (mut at, mut found) = (0, None);
        while let Some(item) = items.next_element::<&RawValue>()? {
            if at == self.0 {
                found = Some(item);
            }
            at += 1;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pointer: &str, document: &str) -> Option<String> {
        let document: &RawValue = serde_json::from_str(document).unwrap();
        let bytes = pointer.parse::<Pointer>().unwrap().bytes(document).unwrap();
        bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn a_string_gives_its_text_and_all_else_its_source() {
        for (pointer, document, expected) in [
            ("/a", r#"{"a":"x\u00e9\n"}"#, Some("xé\n")),
            ("/a", r#"{"a":""}"#, Some("")),
            ("/a", r#"{"a": 1.50e+2 }"#, Some("1.50e+2")),
            ("/a", r#"{"a":{ "z" : 1,"b":"\u0041" }}"#, Some(r#"{ "z" : 1,"b":"\u0041" }"#)),
            ("/a", r#"{"a":[1, 2]}"#, Some("[1, 2]")),
            ("/a", r#"{"a":false}"#, Some("false")),
            ("/a", r#"{"a":null}"#, None),
            ("/b", r#"{"a":1}"#, None),
            ("/a/b/c", r#"{"a":{"b":{"c":7}}}"#, Some("7")),
            ("/a/b", r#"{"a":"b"}"#, None),
            ("/a/1", r#"{"a":[1,"two"]}"#, Some("two")),
            ("/a/2", r#"{"a":[1,2]}"#, None),
            ("/a/01", r#"{"a":[1,2]}"#, None),
            ("/a/-", r#"{"a":[1,2]}"#, None),
            ("/1", r#"{"1":"as a name"}"#, Some("as a name")),
            ("", r#" {"a":1} "#, Some(r#"{"a":1}"#)),
            ("", r#""text""#, Some("text")),
            ("/", r#"{"":"empty name"}"#, Some("empty name")),
            ("/a~1b/m~0n", r#"{"a/b":{"m~n":"escaped"}}"#, Some("escaped")),
            ("/x~01", r#"{"x~1":"in this order"}"#, Some("in this order")),
            ("/\u{e9}", "{\"\\u00e9\":\"escaped name\"}", Some("escaped name")),
            ("/a", r#"{"a":1,"a":2}"#, Some("2")),
        ] {
            assert_eq!(found(pointer, document).as_deref(), expected, "{pointer} in {document}");
        }
    }

    #[test]
    fn a_place_is_that_of_the_exact_bytes() {
        let text = r#"{"a": {"b" : [1, "two" ] }}"#;
        let document: &RawValue = serde_json::from_str(text).unwrap();
        let place = |pointer: &str| pointer.parse::<Pointer>().unwrap().place(document).unwrap();
        assert_eq!(place("/a/b/1").map(|place| &text[place]), Some("\"two\""));
        assert_eq!(place("/a/c"), None);
    }

    #[test]
    fn a_number_keeps_digits_that_a_float_would_lose() {
        let number = "123456789012345678901234567890.000";
        assert_eq!(found("/n", &format!("{{\"n\":{number}}}")).as_deref(), Some(number));
    }

    #[test]
    fn a_pointer_reads_as_it_prints() {
        for text in ["", "/", "/a/0/b", "/a~1b/m~0n", "/~01"] {
            assert_eq!(text.parse::<Pointer>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_pointer_begins_with_a_slash_and_has_known_escapes() {
        for bad in ["a", "a/b", "#/a", "/~2", "/a~"] {
            assert!(bad.parse::<Pointer>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_string_that_is_no_text_is_an_error() {
        let document: &RawValue = serde_json::from_str(r#"{"a":"\ud800"}"#).unwrap();
        assert!("/a".parse::<Pointer>().unwrap().bytes(document).is_err());
    }
}
