//! Ollama: `POST {base}/api/embed`, no key, at `base_url`, else at `OLLAMA_HOST`, else on this machine.

use std::time::Duration;

use super::{EmbeddingProvider, FAMILY, Fields, Limits};
use crate::dialect::ollama_embeddings;
use crate::error::{Error, Kind};
use crate::http::Auth;
use crate::providers::ollama;

/// Ollama's constants.
pub const OLLAMA: EmbeddingProvider = EmbeddingProvider {
    name: "ollama",
    label: "Ollama",
    shortest_key: 0,
    default_model: "nomic-embed-text",
    url_variable: Some("OLLAMA_HOST"),
    options: &["dimensions", "truncate"],
    encoding: None,
    // The first request after a while loads the model from disk.
    timeout: Duration::from_secs(120),
    base: |connection, _| ollama::base_url(connection),
    url: |_, base| format!("{base}/api/embed"),
    auth: |_| Auth::None,
    fields: |asked| {
        Fields::new().with("truncate", asked.truncate()).number("dimensions", asked.dimensions)
    },
    decode: ollama_embeddings::decode,
    // It has no limit of its own; a machine without a graphics card needs a while for these.
    limits: |_| Limits { texts: 512, tokens: None },
    advise,
    ..FAMILY
};

/// Says what to do about a missing model or server.
fn advise(model: &str, base: &str, error: Error) -> Error {
    let message = error.message();
    let text = match error.kind() {
        Kind::NotFound if message.contains("model") => {
            format!("{message}. Run `ollama pull {model}` to download it")
        }
        Kind::Network => format!("{message}. Make sure Ollama is running on {base}"),
        _ => return error,
    };
    error.with_message(text)
}
