//! The one model type of the networked providers: encode, post, decode, check.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Asked, EmbeddingProvider, Fields, Limits, refusal};
use crate::dialect::embeddings::Request;
use crate::embeddings::{BoxFuture, EmbeddingModel, Excess};
use crate::error::{Advice, Error, Kind, Result};
use crate::http::{Auth, Endpoint, Timeouts, pace, shown_address};
use crate::providers::ProviderSettings;
use crate::types::Embeddings;

/// One model of one provider, reached over HTTP.
pub struct HttpEmbeddingModel {
    provider: &'static EmbeddingProvider,
    settings: ProviderSettings,
    model: String,
    /// Where the provider is, as messages show it.
    base: String,
    limits: Limits,
    dimensions: Option<usize>,
    /// The fields with the encoding named, unless there is none to name.
    encoded: Option<Fields>,
    plain: Fields,
    /// Set once the server has refused the former and taken the latter.
    plain_only: AtomicBool,
    /// What is wrong with URL, key or headers is the first request's to report, as in 0.6.8.
    endpoint: std::result::Result<Endpoint, String>,
    attempt_limit: Duration,
}

impl HttpEmbeddingModel {
    /// Prepares nothing but texts; see [`super::EmbeddingConfig::new`].
    ///
    /// # Errors
    /// [`Kind::Validation`] for dimensions or an encoding that make no sense.
    pub fn new(provider: &'static EmbeddingProvider, settings: &ProviderSettings) -> Result<Self> {
        let base = (provider.base)(&settings.connection, provider.base_url);
        let url = (provider.url)(settings, &base);
        let key = settings.key.clone().filter(|key| !key.is_empty());
        let auth = key.map_or(Auth::None, provider.auth);
        let total = provider.timeout;
        let transport = settings.connection.settings(Timeouts { total, ..Timeouts::default() });
        let endpoint = Endpoint::new(provider.name, &url, auth, &transport)
            .map_err(|error| error.message().to_owned());
        let encoding = settings.encoding()?.or(provider.encoding);
        let dimensions = settings.dimensions()?;
        let fields = |encoding| (provider.fields)(&Asked { settings, dimensions, encoding });
        let model = settings.model().to_owned();
        Ok(Self {
            limits: (provider.limits)(&model),
            encoded: encoding.map(|encoding| fields(Some(encoding))),
            plain: fields(None),
            plain_only: AtomicBool::new(false),
            attempt_limit: transport.timeouts.total,
            provider,
            settings: settings.clone(),
            model,
            base: shown_address(&base),
            dimensions,
            endpoint,
        })
    }

    async fn request(&self, texts: &[String], single: bool) -> Result<Embeddings> {
        let encoded = self.encoded.as_ref().filter(|_| !self.plain_only.load(Ordering::Relaxed));
        let Some(encoded) = encoded else { return self.ask(texts, single, &self.plain).await };
        match self.ask(texts, single, encoded).await {
            Err(error) if refusal::names_encoding(&error) => {
                let answer = self.ask(texts, single, &self.plain).await?;
                // Only now is it known that the encoding was all it objected to.
                self.plain_only.store(true, Ordering::Relaxed);
                Ok(answer)
            }
            result => result,
        }
    }

    async fn ask(&self, texts: &[String], single: bool, fields: &Fields) -> Result<Embeddings> {
        let provider = self.provider;
        let endpoint = self
            .endpoint
            .as_ref()
            .map_err(|message| self.blame(Error::new(Kind::Configuration, message.clone())))?;
        let (name, string) = provider.texts;
        let body = match provider.encode {
            Some(encode) => encode(&self.settings, texts)?,
            None => {
                let model = provider.sends_model.then_some(self.model.as_str());
                let request = Request { model, texts: name, fields: &fields.0 };
                request.encode(texts, single && string)?
            }
        };
        let reply = endpoint.post(body).await.map_err(|error| self.blame(error))?;
        let answer = (provider.decode)(&reply.body, texts.len(), provider.label);
        let paced = answer.map(|answer| Embeddings { pace: pace(&reply.headers), ..answer });
        paced.and_then(|answer| self.check(answer)).map_err(|error| {
            let text = endpoint.redact(format!("LLM error: {error}"));
            error
                .with_message(text)
                .with_provider(provider.name)
                .with_request_id(reply.request_id().map(|id| endpoint.redact(id)))
        })
    }

    /// A server that ignores `dimensions` would fill a store with vectors of another length.
    fn check(&self, answer: Embeddings) -> Result<Embeddings> {
        let found = answer.vectors.dimensions();
        match self.dimensions {
            Some(asked) if asked != found => {
                let label = self.provider.label;
                let text = format!("{label} sent {found} dimensions instead of {asked}");
                Err(Error::new(Kind::Decode, text).with_advice(Advice::Never))
            }
            _ => Ok(answer),
        }
    }

    /// Puts 0.6.8's words in front of a transport's or server's message.
    fn blame(&self, error: Error) -> Error {
        let label = self.provider.label;
        let error = (self.provider.advise)(&self.model, &self.base, error);
        let message = error.message();
        let text = if error.status().is_some() {
            format!("LLM error: {label} API error: {message}")
        } else if let Some(cause) = message.strip_prefix("Request failed: ") {
            format!("LLM error: Failed to send request to {label}: {cause}")
        } else {
            format!("LLM error: {message}")
        };
        error.with_message(text).with_provider(self.provider.name)
    }
}

impl EmbeddingModel for HttpEmbeddingModel {
    fn provider(&self) -> &str {
        self.provider.name
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn dimensions(&self) -> Option<usize> {
        self.dimensions
    }

    fn max_batch(&self) -> usize {
        self.limits.texts
    }

    fn max_request_tokens(&self) -> Option<usize> {
        self.limits.tokens
    }

    fn tokens(&self, text: &str) -> usize {
        (self.provider.tokens)(text)
    }

    fn excess(&self, error: &Error) -> Option<Excess> {
        refusal::excess(error)
    }

    fn attempt_limit(&self) -> Option<Duration> {
        Some(self.attempt_limit)
    }

    fn embed<'a>(&'a self, texts: &'a [String], single: bool) -> BoxFuture<'a, Result<Embeddings>> {
        Box::pin(self.request(texts, single))
    }
}
