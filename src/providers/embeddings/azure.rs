//! Embeddings of an Azure OpenAI deployment.

use std::sync::Arc;

use super::{DEFAULT_MODEL, HttpEmbeddingModel, Spec};
use crate::embeddings::EmbeddingModel;
use crate::error::Result;
use crate::http::Auth;
use crate::providers::{Connection, check_key};
use crate::secret::ApiKey;

const API_VERSION: &str = "2024-02-01";

/// A deployment under `endpoint`. `model` is only for display: the deployment decides. The API version
/// is `2024-02-01` unless another is named. `connection.base_url` is not used.
///
/// # Errors
/// [`crate::Kind::Validation`] for a key that is empty or shorter than 8 bytes.
pub fn azure(
    key: ApiKey,
    deployment: &str,
    endpoint: &str,
    model: Option<String>,
    api_version: Option<&str>,
    connection: Connection,
) -> Result<Arc<dyn EmbeddingModel>> {
    check_key("Azure", 8, &key)?;
    let spec = Spec {
        provider: "azure",
        label: "Azure",
        url: format!(
            "{}/openai/deployments/{deployment}/embeddings?api-version={}",
            endpoint.trim_end_matches('/'),
            api_version.unwrap_or(API_VERSION)
        ),
        auth: Auth::Header("api-key", key),
        model: model.unwrap_or_else(|| DEFAULT_MODEL.to_owned()),
        send_model: false,
        encoding_format: Some("base64".to_owned()),
        dimensions: None,
    };
    Ok(Arc::new(HttpEmbeddingModel::new(spec, &connection)))
}
