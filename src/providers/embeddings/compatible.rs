//! Any server that answers `POST {base_url}/embeddings` as OpenAI does. It is asked for nothing unusual
//! unless the settings ask: not every imitation understands every field.

use super::{EmbeddingProvider, FAMILY};

/// Whoever answers at the address the user gives.
pub const COMPATIBLE: EmbeddingProvider = EmbeddingProvider {
    name: "openai_compatible",
    label: "OpenAI-compatible server",
    shortest_key: 0,
    encoding: None,
    ..FAMILY
};
