//! Mistral: `POST https://api.mistral.ai/v1/embeddings`.
//!
//! It names base64 in its reference and answers with numbers all the same, so it is not asked for it.
//! Only `codestral-embed` has a choice of dimensions.

use super::{EmbeddingProvider, FAMILY, Fields, Limits};

/// Mistral's constants. The limits are those its server was observed to enforce.
pub const MISTRAL: EmbeddingProvider = EmbeddingProvider {
    name: "mistral",
    label: "Mistral",
    base_url: "https://api.mistral.ai/v1",
    default_model: "mistral-embed",
    key_variables: &["MISTRAL_API_KEY"],
    encoding: None,
    fields: |asked| {
        Fields::new()
            .encoding("encoding_format", asked)
            .number("output_dimension", asked.dimensions)
    },
    limits: |_| Limits { texts: 256, tokens: Some(65_536) },
    ..FAMILY
};
