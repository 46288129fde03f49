//! Gemini's embeddings: `POST {base}/models/{model}:batchEmbedContents`.
//!
//! `dimensions` shortens the vectors; the service does not bring them back to unit length. `task_type`
//! says what they are for, in the service's words (`RETRIEVAL_QUERY`, `RETRIEVAL_DOCUMENT`,
//! `SEMANTIC_SIMILARITY`, `CLASSIFICATION`, `CLUSTERING`, ...), and is sent as given.

use super::{EmbeddingProvider, FAMILY, Limits};
use crate::dialect::gemini_embeddings::{Request, decode};
use crate::http::Auth;
use crate::providers::gemini::{
    BASE_URL, KEY_HEADER, LABEL, SHORTEST_KEY, advised, path, resource,
};

/// Gemini's constants.
pub const GEMINI: EmbeddingProvider = EmbeddingProvider {
    name: "gemini",
    label: LABEL,
    shortest_key: SHORTEST_KEY,
    base_url: BASE_URL,
    default_model: "gemini-embedding-001",
    key_variables: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
    url_variable: Some("GEMINI_BASE_URL"),
    options: &["dimensions", "task_type"],
    encoding: None,
    url: |settings, base| format!("{base}/{}:batchEmbedContents", path(settings.model())),
    auth: |key| Auth::Header(KEY_HEADER, key),
    encode: Some(|settings, texts| {
        let request = Request {
            model: &resource(settings.model()),
            task_type: settings.option("task_type"),
            dimensions: settings.dimensions()?,
        };
        request.encode(texts)
    }),
    decode: |body, count, _| decode(body, count),
    // The service refuses larger batches.
    limits: |_| Limits { texts: 100, tokens: None },
    advise: |_, _, error| advised(error),
    ..FAMILY
};
