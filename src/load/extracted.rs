//! What a reader returns: the text, and what the caller should know about how it came to be.

use std::collections::BTreeMap;

use serde_json::Value;

/// The outcome of reading one document.
#[derive(Debug, Default)]
pub(super) struct Extracted {
    pub(super) text: String,
    /// Additions to the metadata; empty when the document was read as 0.6.8 reads it.
    pub(super) flags: BTreeMap<String, Value>,
}
