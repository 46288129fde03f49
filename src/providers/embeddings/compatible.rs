//! Any server that answers `POST {base_url}/embeddings` as OpenAI does.

use std::sync::Arc;

use super::{HttpEmbeddingModel, Spec};
use crate::embeddings::EmbeddingModel;
use crate::error::{Error, Result};
use crate::http::Auth;
use crate::providers::Connection;
use crate::secret::ApiKey;

/// What not every compatible server understands, and is therefore sent only when asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompatibleOptions {
    /// `"base64"` (smaller and faster where it is known) or `"float"`.
    pub encoding_format: Option<String>,
    /// Shortens the vectors, where the model can.
    pub dimensions: Option<usize>,
}

/// A server at `base_url`, such as `http://localhost:8000/v1`, with a key only when it wants one.
///
/// # Errors
/// [`crate::Kind::Validation`] for an encoding other than the two, or zero dimensions.
pub fn openai_compatible(
    base_url: &str,
    model: String,
    key: Option<ApiKey>,
    options: CompatibleOptions,
    connection: Connection,
) -> Result<Arc<dyn EmbeddingModel>> {
    let CompatibleOptions { encoding_format, dimensions } = options;
    if let Some(format) = encoding_format.as_deref().filter(|it| !["base64", "float"].contains(it))
    {
        let text = "encoding_format must be 'base64' or 'float'";
        return Err(Error::validation("encoding_format", Some(format), text));
    }
    if dimensions == Some(0) {
        let text = "dimensions must be greater than 0";
        return Err(Error::validation("dimensions", Some("0"), text));
    }
    let spec = Spec {
        provider: "openai_compatible",
        label: "OpenAI-compatible server",
        url: format!("{}/embeddings", base_url.trim_end_matches('/')),
        auth: key.filter(|key| !key.is_empty()).map_or(Auth::None, Auth::Bearer),
        model,
        send_model: true,
        encoding_format,
        dimensions,
    };
    Ok(Arc::new(HttpEmbeddingModel::new(spec, &connection)))
}
