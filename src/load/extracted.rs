//! What a reader makes of a document.

use std::collections::BTreeMap;

use serde_json::Value;

/// The text of a document, and what a user should know about how it came about.
#[derive(Debug, Default)]
pub(super) struct Extracted {
    pub(super) text: String,
    /// Additions to the metadata; none where all went as usual.
    pub(super) flags: BTreeMap<String, Value>,
}

impl Extracted {
    /// Text without anything to say about it.
    pub(super) fn plain(text: String) -> Self {
        Self { text, flags: BTreeMap::new() }
    }

    /// The raw text of a document that is not what it should be, with the reason.
    pub(super) fn fallback(text: &str, reason: impl std::fmt::Display) -> Self {
        let flags = [("parse_fallback".to_owned(), Value::String(reason.to_string()))];
        Self { text: text.to_owned(), flags: flags.into() }
    }
}
