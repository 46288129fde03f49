//! Embedding models over the network: OpenAI, Azure, and every server that speaks like OpenAI.
//!
//! One model type serves all of them; a provider's file says only where to send what. Nothing but the
//! key's length is checked before the first request, so a configuration can be made anywhere.
//!
//! ```
//! use graphbit::embeddings::EmbeddingModel;
//! use graphbit::providers::{Connection, embeddings};
//! use graphbit::secret::ApiKey;
//!
//! let key = ApiKey::new("sk-0123456789abcdef0123");
//! let model = embeddings::openai(key, None, &Connection::default())?;
//! assert_eq!((model.provider(), model.model()), ("openai", "text-embedding-3-small"));
//! # Ok::<(), graphbit::Error>(())
//! ```

mod azure;
mod compatible;
mod gemini;
mod openai;

use std::time::Duration;

pub use azure::azure;
pub use compatible::{CompatibleOptions, openai_compatible};
pub use gemini::{GeminiOptions, gemini};
pub use openai::openai;

use super::Connection;
use crate::dialect::embeddings::{self as wire, Request};
use crate::embeddings::{BoxFuture, EmbeddingModel};
use crate::error::{Error, Kind, Result};
use crate::http::{Auth, Endpoint, Timeouts};
use crate::types::Embeddings;

/// Most texts OpenAI and Azure take in one request; others follow them.
const MOST_TEXTS: usize = 2048;
const DEFAULT_MODEL: &str = "text-embedding-3-small";

/// What one provider fills in.
struct Spec {
    provider: &'static str,
    /// The provider's name in messages.
    label: &'static str,
    url: String,
    auth: Auth,
    model: String,
    /// Whether the body names the model; Azure's URL names a deployment instead.
    send_model: bool,
    encoding_format: Option<String>,
    dimensions: Option<usize>,
}

/// A server reached over HTTP.
pub struct HttpEmbeddingModel {
    spec: Spec,
    /// What is wrong with URL, key or headers is the first request's to report, as in 0.6.8.
    endpoint: std::result::Result<Endpoint, String>,
    limit: Duration,
}

impl HttpEmbeddingModel {
    fn new(spec: Spec, connection: &Connection) -> Self {
        let total = Duration::from_secs(30);
        let settings = connection.settings(Timeouts { total, ..Timeouts::default() });
        let endpoint = Endpoint::new(spec.provider, &spec.url, spec.auth.clone(), &settings)
            .map_err(|error| error.message().to_owned());
        Self { spec, endpoint, limit: settings.timeouts.total }
    }

    async fn request(&self, texts: &[String], single: bool) -> Result<Embeddings> {
        let spec = &self.spec;
        let endpoint = self
            .endpoint
            .as_ref()
            .map_err(|message| self.blame(Error::new(Kind::Configuration, message.clone())))?;
        let request = Request {
            model: spec.send_model.then_some(&spec.model),
            encoding_format: spec.encoding_format.as_deref(),
            dimensions: spec.dimensions,
        };
        let body = request.encode(texts, single)?;
        let reply = endpoint.post(body).await.map_err(|error| self.blame(error))?;
        wire::decode(&reply.body, texts.len(), spec.label).map_err(|error| {
            let text = endpoint.redact(format!("LLM error: {error}"));
            error
                .with_message(text)
                .with_provider(spec.provider)
                .with_request_id(reply.request_id())
        })
    }

    /// Puts 0.6.8's words in front of a transport's or server's message.
    fn blame(&self, error: Error) -> Error {
        let label = self.spec.label;
        let message = error.message();
        let text = if error.status().is_some() {
            format!("LLM error: {label} API error: {message}")
        } else if let Some(cause) = message.strip_prefix("Request failed: ") {
            format!("LLM error: Failed to send request to {label}: {cause}")
        } else {
            format!("LLM error: {message}")
        };
        error.with_message(text).with_provider(self.spec.provider)
    }
}

impl EmbeddingModel for HttpEmbeddingModel {
    fn provider(&self) -> &str {
        self.spec.provider
    }

    fn model(&self) -> &str {
        &self.spec.model
    }

    fn dimensions(&self) -> Option<usize> {
        self.spec.dimensions
    }

    fn max_batch(&self) -> usize {
        MOST_TEXTS
    }

    fn attempt_limit(&self) -> Option<Duration> {
        Some(self.limit)
    }

    fn embed<'a>(&'a self, texts: &'a [String], single: bool) -> BoxFuture<'a, Result<Embeddings>> {
        Box::pin(self.request(texts, single))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime;
    use crate::secret::ApiKey;

    #[test]
    fn keys_are_measured_as_0_6_8_does() {
        let text = |key: &str| {
            let result = openai(ApiKey::new(key), None, &Connection::default());
            result.err().map(|error| error.to_string())
        };
        assert_eq!(text("").as_deref(), Some("OpenAI API key cannot be empty"));
        assert_eq!(text(&"x".repeat(19)).as_deref(), Some("OpenAI API key too short"));
        assert_eq!(text(&"é".repeat(10)), None);
        let text = |key: &str| {
            let key = ApiKey::new(key);
            let result = azure(key, "d", "https://host", None, None, &Connection::default());
            result.err().map(|error| error.to_string())
        };
        assert_eq!(text("1234567").as_deref(), Some("Azure API key too short"));
        assert_eq!(text("12345678"), None);
    }

    #[test]
    fn an_unusable_address_is_reported_by_the_first_request() {
        let key = ApiKey::new("12345678");
        let model = azure(key, "d", "", None, None, &Connection::default()).unwrap();
        let work = async move { model.embed(&["x".to_owned()], true).await };
        let error = runtime::block_on(work).unwrap_err();
        assert_eq!(error.kind(), Kind::Configuration);
        let start = "LLM error: Failed to send request to Azure: builder error: the URL '/openai";
        assert!(error.message().starts_with(start), "{error}");
    }
}
