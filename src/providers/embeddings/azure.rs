//! Embeddings of an Azure OpenAI deployment. The model's name is for display: the deployment decides.

use super::openai::OPENAI;
use super::{EmbeddingProvider, FAMILY};
use crate::http::Auth;

const API_VERSION: &str = "2024-02-01";

/// Azure's constants. Option `deployment` names the deployment, else the model does.
pub const AZURE: EmbeddingProvider = EmbeddingProvider {
    name: "azure",
    label: "Azure",
    default_model: OPENAI.default_model,
    key_variables: &["AZURE_OPENAI_API_KEY"],
    url_variable: Some("AZURE_OPENAI_ENDPOINT"),
    options: &["deployment", "api_version", "dimensions", "encoding_format"],
    url: |settings, base| {
        let deployment = settings.option("deployment").unwrap_or_else(|| settings.model());
        let version = settings.option("api_version").unwrap_or(API_VERSION);
        format!("{base}/openai/deployments/{deployment}/embeddings?api-version={version}")
    },
    auth: |key| Auth::Header("api-key", key),
    sends_model: false,
    limits: OPENAI.limits,
    tokens: OPENAI.tokens,
    ..FAMILY
};
