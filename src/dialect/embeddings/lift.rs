//! Takes the long strings out of an answer before it is parsed.
//!
//! Nearly all of an answer in base64 is the inside of strings, and a JSON parser looks at every byte of
//! them for escapes and encoding. Finding their ends alone is several times faster; what is left is
//! small. A string with an escape stays where it is.

use std::borrow::Cow;
use std::io::Write;

use memchr::{memchr, memchr2};
use serde::Deserialize;

/// Shorter strings are not worth it.
const LONG: usize = 64;
/// Begins what stands for a string; no digit of base64.
const MARK: char = '@';

/// An answer without its long strings.
pub(in crate::dialect) struct Lifted<'a> {
    body: &'a [u8],
    text: Cow<'a, [u8]>,
    strings: Vec<&'a [u8]>,
}

impl<'a> Lifted<'a> {
    /// Looks at `body` as far as it is JSON.
    pub(in crate::dialect) fn new(body: &'a [u8]) -> Self {
        let (mut strings, mut text) = (Vec::new(), Vec::new());
        let (mut at, mut copied) = (0, 0);
        while let Some((string, plain)) = next_string(body, at) {
            at = string.end + 1;
            if plain && string.len() >= LONG {
                text.extend_from_slice(body.get(copied..string.start).unwrap_or_default());
                copied = string.end;
                // Writing to a vector does not fail.
                let _ = write!(text, "{MARK}{}", strings.len());
                strings.push(body.get(string).unwrap_or_default());
            }
        }
        if strings.is_empty() {
            return Self { body, text: Cow::Borrowed(body), strings };
        }
        text.extend_from_slice(body.get(copied..).unwrap_or_default());
        Self { body, text: Cow::Owned(text), strings }
    }

    /// The answer in the shape of a dialect; the whole body when the rest makes no sense, so that an
    /// error speaks of what the server sent.
    pub(super) fn parse<'b, T: Deserialize<'b>>(&'b self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.text).or_else(|_| serde_json::from_slice(self.body))
    }

    /// The string that `text` stands for, or `text` itself.
    pub(super) fn string<'b>(&'b self, text: &'b str) -> &'b [u8] {
        let number = text.strip_prefix(MARK).and_then(|number| number.parse::<usize>().ok());
        number.and_then(|number| self.strings.get(number).copied()).unwrap_or(text.as_bytes())
    }
}

/// Where the inside of the next string lies, and whether it holds no escape.
fn next_string(body: &[u8], from: usize) -> Option<(std::ops::Range<usize>, bool)> {
    let start = from + memchr(b'"', body.get(from..)?)? + 1;
    let (mut at, mut plain) = (start, true);
    loop {
        at += memchr2(b'"', b'\\', body.get(at..)?)?;
        if body.get(at) == Some(&b'"') {
            return Some((start..at, plain));
        }
        plain = false;
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// Puts every string back.
    fn restored(lifted: &Lifted<'_>, value: Value) -> Value {
        match value {
            Value::String(text) => {
                String::from_utf8_lossy(lifted.string(&text)).into_owned().into()
            }
            Value::Array(values) => {
                values.into_iter().map(|value| restored(lifted, value)).collect()
            }
            Value::Object(fields) => {
                fields.into_iter().map(|(name, value)| (name, restored(lifted, value))).collect()
            }
            other => other,
        }
    }

    #[test]
    fn only_long_plain_strings_are_taken_out() {
        let long = "A".repeat(LONG);
        let escaped = format!("{long}\\\"{long}\\\\");
        let body = format!(r#"{{"a":"{long}","b":["{escaped}","short",""],"c":"{long}B"}}"#);
        let lifted = Lifted::new(body.as_bytes());
        let rest = format!(r#"{{"a":"@0","b":["{escaped}","short",""],"c":"@1"}}"#);
        assert_eq!(String::from_utf8_lossy(&lifted.text), rest);
        assert_eq!(lifted.string("@1"), format!("{long}B").as_bytes());
        assert_eq!(lifted.string("@2"), b"@2");
        let plain = Lifted::new(b"{\"a\":[1,2,3],\"broken\":\"");
        assert!(matches!(plain.text, Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn nothing_is_changed(
            texts in prop::collection::vec("[a\"\\\\é@0]{0,9}|[A-Z]{60,70}", 0..9),
        ) {
            let value = serde_json::json!({ "texts": texts, "number": 1, "@0": null });
            let body = value.to_string();
            let lifted = Lifted::new(body.as_bytes());
            // A short string that looks like a mark is one, when there is a string it can stand for.
            prop_assume!(!texts.iter().any(|text| text.starts_with(MARK)));
            let parsed = lifted.parse().unwrap();
            prop_assert_eq!(restored(&lifted, parsed), value);
        }

        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Lifted::new(&body).parse::<Value>();
        }
    }
}
