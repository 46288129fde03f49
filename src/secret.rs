//! The one secret type: an API key that cannot be printed, logged or serialised by accident.
//!
//! It refuses `Display`, `Serialize` and an informative `Debug`; the only way to the text is
//! [`ApiKey::expose`], called where a header is built. [`ApiKey::redact`] removes the key from texts
//! that come back from a server, which like to quote it.
//!
//! ```
//! use graphbit::secret::ApiKey;
//!
//! let key = ApiKey::new("sk-very-secret-value");
//! assert_eq!(format!("{key:?}"), "ApiKey(***)");
//! assert_eq!(key.redact("bad key sk-very-secret-value".into()), "bad key ***");
//! assert_eq!(key.redact("cut short: sk-very-sec".into()), "cut short: ***");
//! ```

use std::fmt;

use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD, Engine};
use secrecy::{ExposeSecret, SecretString};

/// Shorter than this, a "key" would match ordinary words when redacting.
const SHORTEST_REDACTED: usize = 4;
/// So many bytes of a key at the very end of a text are a quotation that was cut short.
const SHORTEST_BEGINNING: usize = 8;

/// What stands in the place of a key.
const HIDDEN: &str = "***";

/// An API key. Wiped from memory when dropped.
#[derive(Clone, Default)]
pub struct ApiKey(SecretString);

impl ApiKey {
    /// Takes ownership of the key text.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self(SecretString::from(key.into()))
    }

    /// The key itself, for building a header and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }

    /// Replaces every occurrence of the key in `text` by `***`: as it is, percent-encoded as in a URL,
    /// escaped as in JSON, and inside base64; also one that the end of `text` cuts.
    #[must_use]
    pub fn redact(&self, mut text: String) -> String {
        let key = self.expose().trim();
        if key.len() < SHORTEST_REDACTED {
            return text;
        }
        if text.contains(key) {
            text = text.replace(key, HIDDEN);
        }
        if text.contains(['%', '\\']) {
            text = without_escaped(&text, key.as_bytes());
        }
        for form in in_base64(key.as_bytes()) {
            if text.contains(&form) {
                text = text.replace(&form, HIDDEN);
            }
        }
        let mut ends = (SHORTEST_BEGINNING..key.len()).rev();
        match ends.find_map(|end| text.strip_suffix(key.get(..end)?)) {
            Some(before) => format!("{before}{HIDDEN}"),
            None => text,
        }
    }
}

/// `text` without `key`, any of whose bytes may be written as `%XX` or `\u00XX`, a blank as `+`, and
/// what JSON may put a backslash before with one.
fn without_escaped(text: &str, key: &[u8]) -> String {
    let (mut cleaned, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(letter) = rest.chars().next() {
        let (end, piece) = match escaped_end(rest.as_bytes(), key) {
            Some(end) => (end, HIDDEN),
            None => (letter.len_utf8(), rest.get(..letter.len_utf8()).unwrap_or_default()),
        };
        cleaned.push_str(piece);
        rest = rest.get(end..).unwrap_or_default();
    }
    cleaned
}

/// Where the key ends that `text` begins with.
fn escaped_end(text: &[u8], key: &[u8]) -> Option<usize> {
    let mut rest = text;
    for &byte in key {
        rest = match rest {
            [b'%', high, low, tail @ ..] if hex(*high, *low) == Some(byte) => tail,
            [b'+', tail @ ..] if byte == b' ' => tail,
            [b'\\', b'u', b'0', b'0', high, low, tail @ ..]
                if byte.is_ascii() && hex(*high, *low) == Some(byte) =>
            {
                tail
            }
            [b'\\', first, tail @ ..] if *first == byte && matches!(byte, b'/' | b'"' | b'\\') => {
                tail
            }
            [first, tail @ ..] if *first == byte => tail,
            _ => return None,
        };
    }
    Some(text.len() - rest.len())
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// The letters that show `key` in the base64 of any text around it. Three bytes make four letters, so
/// there are three ways to begin; letters that neighbours have a part in are left out.
fn in_base64(key: &[u8]) -> impl Iterator<Item = String> + '_ {
    [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD].into_iter().flat_map(move |kind| {
        (0..3_usize).filter_map(move |before| {
            let shifted = [vec![0; before].as_slice(), key].concat();
            let letters = kind.encode(&shifted);
            let (start, end) = ((before * 8).div_ceil(6), shifted.len() * 8 / 6);
            letters
                .get(start..end)
                .filter(|form| form.len() >= SHORTEST_REDACTED)
                .map(str::to_owned)
        })
    })
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

impl PartialEq for ApiKey {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for ApiKey {}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};

    use super::*;

    #[test]
    fn a_key_is_found_in_whatever_form_a_server_quotes_it() {
        let key = ApiKey::new("sk-a/b+c=d e~\u{e9}9");
        for quoted in [
            "sk-a/b+c=d e~\u{e9}9",
            "sk-a%2Fb%2Bc%3Dd+e~%C3%A99",
            "sk-a\\/b+c=d e~\u{e9}9",
            "sk-a\\u002fb\\u002Bc=d\\u0020e~\u{e9}9",
            "sk-a/b%2bc%3dd%20e%7E%c3%a99",
        ] {
            assert_eq!(
                key.redact(format!("100% wrong: {quoted}!")),
                "100% wrong: ***!",
                "{quoted}"
            );
        }
        for around in ["", "x", "xy", "Bearer ", "user:"] {
            let whole = format!("{around}{}", key.expose());
            for kind in [BASE64_STANDARD, BASE64_URL_SAFE] {
                let text = key.redact(kind.encode(&whole));
                assert!(text.contains("***") && text.len() < 16, "{around}: {text}");
            }
        }
    }

    #[test]
    fn other_texts_stay_as_they_are() {
        let key = ApiKey::new("sk-very-secret-value");
        for text in ["", "%", "%zz 5%", "sk-very", "sk-very-secret!", "\u{65e5}\u{672c} %E6"] {
            assert_eq!(key.redact(text.to_owned()), text);
        }
        // Somebody cut the text in the middle of the key.
        assert_eq!(key.redact("bad key sk-very-sec".into()), "bad key ***");
        assert_eq!(ApiKey::new("abc").redact("abc".into()), "abc");
    }
}
