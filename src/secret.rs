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

use secrecy::{ExposeSecret, SecretString};

/// Shorter than this, a "key" would match ordinary words when redacting.
const SHORTEST_REDACTED: usize = 4;
/// So many bytes of a key at the very end of a text are a quotation that was cut short.
const SHORTEST_BEGINNING: usize = 8;

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

    /// Replaces every occurrence of the key in `text` by `***`, and one that the end of `text` cuts.
    #[must_use]
    pub fn redact(&self, text: String) -> String {
        let key = self.expose().trim();
        if key.len() < SHORTEST_REDACTED {
            return text;
        }
        let text = if text.contains(key) { text.replace(key, "***") } else { text };
        let mut ends = (SHORTEST_BEGINNING..key.len()).rev();
        match ends.find_map(|end| text.strip_suffix(key.get(..end)?)) {
            Some(before) => format!("{before}***"),
            None => text,
        }
    }
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
