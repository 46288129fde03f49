//! Gemini's embeddings: `POST {base}/models/{model}:batchEmbedContents`.

use std::sync::Arc;
use std::time::Duration;

use crate::dialect::gemini_embeddings::{Request, decode};
use crate::embeddings::{BoxFuture, EmbeddingModel};
use crate::error::{Error, Kind, Result};
use crate::http::{Auth, Endpoint, Timeouts};
use crate::providers::gemini::{
    BASE_URL, KEY_HEADER, LABEL, SHORTEST_KEY, advised, path, resource,
};
use crate::providers::{Connection, check_key};
use crate::secret::ApiKey;
use crate::types::Embeddings;

const PROVIDER: &str = "gemini";
const DEFAULT_MODEL: &str = "gemini-embedding-001";
/// The service refuses larger batches.
const MOST_TEXTS: usize = 100;

/// What may be asked of Gemini's vectors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeminiOptions {
    /// Shortens the vectors; the service does not bring them back to unit length.
    pub dimensions: Option<usize>,
    /// What they are for, in the service's words: `RETRIEVAL_QUERY`, `RETRIEVAL_DOCUMENT`,
    /// `SEMANTIC_SIMILARITY`, `CLASSIFICATION`, `CLUSTERING` and others. Sent as given.
    pub task_type: Option<String>,
}

/// Gemini; the model is `gemini-embedding-001` unless another is named.
///
/// # Errors
/// [`Kind::Validation`] for a key that is empty or shorter than 8 bytes, or zero dimensions.
pub fn gemini(
    key: ApiKey,
    model: Option<String>,
    options: GeminiOptions,
    connection: &Connection,
) -> Result<Arc<dyn EmbeddingModel>> {
    check_key(LABEL, SHORTEST_KEY, &key)?;
    if options.dimensions == Some(0) {
        let text = "dimensions must be greater than 0";
        return Err(Error::validation("dimensions", Some("0"), text));
    }
    let model = model.unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    let url = format!("{}/{}:batchEmbedContents", connection.base(BASE_URL), path(&model));
    let total = Duration::from_secs(30);
    let settings = connection.settings(Timeouts { total, ..Timeouts::default() });
    let endpoint = Endpoint::new(PROVIDER, &url, Auth::Header(KEY_HEADER, key), &settings)
        .map_err(|error| error.message().to_owned());
    let limit = settings.timeouts.total;
    Ok(Arc::new(GeminiEmbeddings { resource: resource(&model), model, options, endpoint, limit }))
}

struct GeminiEmbeddings {
    model: String,
    resource: String,
    options: GeminiOptions,
    /// What is wrong with URL, key or headers is the first request's to report.
    endpoint: std::result::Result<Endpoint, String>,
    limit: Duration,
}

impl GeminiEmbeddings {
    async fn request(&self, texts: &[String]) -> Result<Embeddings> {
        let endpoint = self
            .endpoint
            .as_ref()
            .map_err(|message| blame(Error::new(Kind::Configuration, message.clone())))?;
        let request = Request {
            model: &self.resource,
            task_type: self.options.task_type.as_deref(),
            dimensions: self.options.dimensions,
        };
        let reply = endpoint.post(request.encode(texts)?).await.map_err(blame)?;
        decode(&reply.body, texts.len()).map_err(|error| {
            let text = endpoint.redact(format!("LLM error: {error}"));
            let id = reply.request_id().map(|id| endpoint.redact(id));
            error.with_message(text).with_provider(PROVIDER).with_request_id(id)
        })
    }
}

/// Puts the words of every embedding provider in front of a transport's or server's message.
fn blame(error: Error) -> Error {
    let error = advised(error);
    let message = error.message();
    let text = if error.status().is_some() {
        format!("LLM error: {LABEL} API error: {message}")
    } else if let Some(cause) = message.strip_prefix("Request failed: ") {
        format!("LLM error: Failed to send request to {LABEL}: {cause}")
    } else {
        format!("LLM error: {message}")
    };
    error.with_message(text).with_provider(PROVIDER)
}

impl EmbeddingModel for GeminiEmbeddings {
    fn provider(&self) -> &str {
        PROVIDER
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn dimensions(&self) -> Option<usize> {
        self.options.dimensions
    }

    fn max_batch(&self) -> usize {
        MOST_TEXTS
    }

    fn attempt_limit(&self) -> Option<Duration> {
        Some(self.limit)
    }

    fn embed<'a>(&'a self, texts: &'a [String], _: bool) -> BoxFuture<'a, Result<Embeddings>> {
        Box::pin(self.request(texts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime;

    #[test]
    fn arguments_are_checked_and_the_address_is_not() {
        let make = |key: &str, options| {
            let connection =
                Connection { base_url: Some("no url".into()), ..Connection::default() };
            gemini(ApiKey::new(key), None, options, &connection)
        };
        let text = |key: &str, options| make(key, options).err().map(|error| error.to_string());
        let plain = GeminiOptions::default;
        assert_eq!(text("", plain()).as_deref(), Some("Gemini API key cannot be empty"));
        assert_eq!(text("1234567", plain()).as_deref(), Some("Gemini API key too short"));
        let none = GeminiOptions { dimensions: Some(0), ..plain() };
        assert!(text("12345678", none).unwrap().contains("dimensions"));
        let model = make("12345678", GeminiOptions { dimensions: Some(8), ..plain() }).unwrap();
        assert_eq!((model.provider(), model.model()), ("gemini", "gemini-embedding-001"));
        assert_eq!((model.dimensions(), model.max_batch()), (Some(8), 100));
        let work = async move { model.embed(&["x".to_owned()], true).await };
        let error = runtime::block_on(work).unwrap_err();
        assert_eq!(error.kind(), Kind::Configuration);
        let start = "LLM error: Failed to send request to Gemini: builder error: the URL";
        assert!(error.message().starts_with(start), "{error}");
    }
}
