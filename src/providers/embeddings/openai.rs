//! OpenAI's embeddings.

use std::sync::Arc;

use super::{DEFAULT_MODEL, HttpEmbeddingModel, Spec};
use crate::embeddings::EmbeddingModel;
use crate::error::Result;
use crate::http::Auth;
use crate::providers::{Connection, check_key};
use crate::secret::ApiKey;

/// OpenAI; the model is `text-embedding-3-small` unless another is named.
///
/// # Errors
/// [`crate::Kind::Validation`] for a key that is empty or shorter than 20 bytes.
pub fn openai(
    key: ApiKey,
    model: Option<String>,
    connection: Connection,
) -> Result<Arc<dyn EmbeddingModel>> {
    check_key("OpenAI", 20, &key)?;
    let spec = Spec {
        provider: "openai",
        label: "OpenAI",
        url: format!("{}/embeddings", connection.base("https://api.openai.com/v1")),
        auth: Auth::Bearer(key),
        model: model.unwrap_or_else(|| DEFAULT_MODEL.to_owned()),
        send_model: true,
        encoding_format: Some("base64".to_owned()),
        dimensions: None,
    };
    Ok(Arc::new(HttpEmbeddingModel::new(spec, &connection)))
}
