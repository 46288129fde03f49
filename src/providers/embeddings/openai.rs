//! OpenAI: `POST https://api.openai.com/v1/embeddings`.

use super::{EmbeddingProvider, FAMILY, Limits};
use crate::tokens::Encoding;

/// OpenAI's constants. A request holds at most 2048 texts and 300,000 tokens.
pub const OPENAI: EmbeddingProvider = EmbeddingProvider {
    name: "openai",
    label: "OpenAI",
    shortest_key: 20,
    base_url: "https://api.openai.com/v1",
    default_model: "text-embedding-3-small",
    key_variables: &["OPENAI_API_KEY"],
    url_variable: Some("OPENAI_BASE_URL"),
    limits: |_| Limits { texts: 2048, tokens: Some(300_000) },
    // All its embedding models count in this encoding.
    tokens: |text| Encoding::Cl100kBase.tokenizer().count(text),
    ..FAMILY
};
