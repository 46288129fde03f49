//! Documents and the passages cut from them.

use std::collections::BTreeMap;

use serde::Serialize;

/// A text with a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Where it came from: a path, a topic, whatever a citation should show.
    pub source: String,
    /// The text.
    pub text: String,
    /// Free key-value data that travels with every chunk.
    pub metadata: BTreeMap<String, String>,
}

/// A piece of a document, with its exact place in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Passage {
    /// The document's name.
    pub source: String,
    /// The text.
    pub text: String,
    /// First code point of the passage in the document.
    pub start_char: usize,
    /// One past its last code point.
    pub end_char: usize,
    /// Similarity to the question, when it was retrieved by one.
    pub score: f32,
}
