//! Jina: `POST https://api.jina.ai/v1/embeddings`.
//!
//! `task` chooses what the vectors are for, such as `retrieval.passage` and `retrieval.query`.

use super::{EmbeddingProvider, FAMILY, Fields, Limits};

/// Jina's constants. Its larger models take 512 texts at once, the others more.
pub const JINA: EmbeddingProvider = EmbeddingProvider {
    name: "jina",
    label: "Jina",
    base_url: "https://api.jina.ai/v1",
    default_model: "jina-embeddings-v3",
    key_variables: &["JINA_API_KEY", "JINAAI_API_KEY"],
    options: &["dimensions", "encoding_format", "task", "truncate"],
    fields: |asked| {
        let fields = Fields::new()
            .text("task", asked.settings.option("task"))
            .encoding("embedding_type", asked)
            .number("dimensions", asked.dimensions);
        // Refusing what is too long is its default, and the word is unknown to its oldest models.
        if asked.truncate() { fields.with("truncate", true) } else { fields }
    },
    limits: |_| Limits { texts: 512, tokens: None },
    ..FAMILY
};
