//! Anthropic: `POST https://api.anthropic.com/v1/messages`.
//!
//! The address may end in `/v1` or not: Anthropic's own tools are given it without.

use std::sync::Arc;
use std::time::Duration;

use super::{Build, Provider, ProviderSettings, Route};
use crate::dialect::anthropic;
use crate::error::Result;
use crate::http::{Auth, Timeouts};
use crate::llm::{BoxFuture, ChatModel, ChatStream};
use crate::types::{ChatRequest, ChatResponse};

const PROVIDER: &str = "anthropic";
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");
const CACHING: (&str, &str) = ("anthropic-beta", "prompt-caching-2024-07-31");

/// Anthropic's constants.
///
/// The default model of GraphBit 0.6.8, `claude-3-5-sonnet-20241022`, was retired on 28 October 2025.
/// Of its successors the newest that still takes a temperature and a forced tool, as programs written
/// for it send them, is Sonnet 4.6, in service until at least 17 February 2027; Sonnet 5 and later
/// refuse such requests, and Sonnet 4.5 retires on 30 November 2026.
pub const ANTHROPIC: Provider = Provider {
    name: PROVIDER,
    label: "Anthropic",
    shortest_key: 15,
    base_url: "https://api.anthropic.com/v1",
    default_model: "claude-sonnet-4-6",
    key_variables: &["ANTHROPIC_API_KEY"],
    url_variable: Some("ANTHROPIC_BASE_URL"),
    options: &[],
    build: Build::Own(|settings| Ok(Arc::new(AnthropicProvider::new(settings)))),
};

/// One model of Anthropic's.
pub struct AnthropicProvider {
    model: String,
    plain: Route,
    /// The same address, with the header that switches prompt caching on.
    caching: Route,
}

impl AnthropicProvider {
    /// Prepares nothing but texts; see [`super::LlmConfig::new`].
    #[must_use]
    pub fn new(settings: &ProviderSettings) -> Self {
        let url = messages_url(settings.connection.base(ANTHROPIC.base_url));
        let key = settings.key.clone().unwrap_or_default();
        let route = |headers: &[(&str, &str)]| {
            let mut transport = settings.connection.settings(Timeouts::default());
            // Before the user's own, which replace them.
            let ours = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            transport.headers.splice(0..0, ours);
            Route::new(PROVIDER, url.clone(), Auth::Header("x-api-key", key.clone()), transport)
        };
        let (plain, caching) = (route(&[VERSION]), route(&[VERSION, CACHING]));
        Self { model: settings.model().to_owned(), plain, caching }
    }

    fn route(&self, request: &ChatRequest) -> &Route {
        if request.prompt_caching { &self.caching } else { &self.plain }
    }
}

fn messages_url(base: &str) -> String {
    format!("{}/v1/messages", base.strip_suffix("/v1").unwrap_or(base))
}

impl ChatModel for AnthropicProvider {
    fn provider(&self) -> &str {
        PROVIDER
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn attempt_limit(&self) -> Option<Duration> {
        Some(self.plain.settings.timeouts.total)
    }

    fn complete<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatResponse>> {
        Box::pin(async {
            let body = anthropic::encode(&self.model, request, false)?;
            let decode = |answer: &[u8]| anthropic::decode(&self.model, answer);
            self.route(request).ask(request, body, decode).await
        })
    }

    fn stream<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatStream>> {
        Box::pin(async {
            let body = anthropic::encode(&self.model, request, true)?;
            self.route(request).open(body, anthropic::stream_decoder()).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_may_be_given_with_or_without_its_version() {
        for base in ["http://host", "http://host/", "http://host/v1", "http://host/v1/"] {
            let connection = super::super::Connection {
                base_url: Some(base.to_owned()),
                ..super::super::Connection::default()
            };
            assert_eq!(messages_url(connection.base("")), "http://host/v1/messages", "{base}");
        }
        assert_eq!(messages_url("http://host/anthropic"), "http://host/anthropic/v1/messages");
        assert_eq!(messages_url(ANTHROPIC.base_url), "https://api.anthropic.com/v1/messages");
    }
}
