//! Cohere: `POST https://api.cohere.com/v2/embed`.
//!
//! The models must know what a text is for: passages of a collection (`search_document`, the default) or
//! questions to it (`search_query`). Base64 is offered but hardly documented, so it is sent as numbers
//! unless asked for.

use serde_json::json;

use super::{EmbeddingProvider, Encoding, FAMILY, Fields, Limits};
use crate::dialect::cohere_embeddings;

/// Cohere's constants.
pub const COHERE: EmbeddingProvider = EmbeddingProvider {
    name: "cohere",
    label: "Cohere",
    base_url: "https://api.cohere.com",
    default_model: "embed-v4.0",
    key_variables: &["COHERE_API_KEY", "CO_API_KEY"],
    url_variable: Some("CO_API_URL"),
    options: &["dimensions", "encoding_format", "input_type", "truncate"],
    encoding: Some(Encoding::Float),
    url: |_, base| format!("{base}/v2/embed"),
    texts: ("texts", false),
    fields: |asked| {
        let input_type = asked.settings.option("input_type").unwrap_or("search_document");
        let encoding = asked.encoding.unwrap_or(Encoding::Float).as_str();
        Fields::new()
            .with("input_type", input_type)
            .with("embedding_types", json!([encoding]))
            .number("output_dimension", asked.dimensions)
            .with("truncate", if asked.truncate() { "END" } else { "NONE" })
    },
    decode: cohere_embeddings::decode,
    limits: |_| Limits { texts: 96, tokens: None },
    ..FAMILY
};
