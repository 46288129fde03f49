//! The chat-completions family: a provider is constants, this file is the one implementation.
//!
//! It also serves every server that merely imitates the family (vLLM, llama.cpp, LM Studio, gateways),
//! through [`LlmConfig::openai_compatible`](super::LlmConfig::openai_compatible).

use std::time::Duration;

use super::{Build, LlmSettings, Provider, Route};
use crate::dialect::openai_chat::{self, Wire};
use crate::error::Result;
use crate::http::{Auth, Timeouts};
use crate::llm::{BoxFuture, ChatModel, ChatStream};
use crate::types::{ChatRequest, ChatResponse};

/// Whoever answers at the address the user gives.
pub const COMPATIBLE: Provider = Provider {
    name: "openai_compatible",
    label: "OpenAI-compatible",
    shortest_key: 0,
    base_url: "",
    default_model: "",
    key_variables: &[],
    url_variable: None,
    options: &[],
    build: Build::Chat(Wire::COMMON),
};

/// One model of one provider of the family.
pub struct ChatProvider {
    name: &'static str,
    wire: Wire,
    model: String,
    route: Route,
}

impl ChatProvider {
    /// Prepares nothing but texts; see [`super::LlmConfig::new`].
    #[must_use]
    pub fn new(provider: &'static Provider, wire: Wire, settings: &LlmSettings) -> Self {
        let mut connection = settings.connection.clone();
        for (option, header) in provider.options {
            if let (Some(header), Some(value)) = (header, settings.options.get(*option)) {
                connection.headers.push(((*header).to_owned(), value.clone()));
            }
        }
        let url = format!("{}/chat/completions", connection.base(provider.base_url));
        let key = settings.key.clone().filter(|key| !key.is_empty());
        let auth = key.map_or(Auth::None, Auth::Bearer);
        let timeouts = connection.settings(Timeouts::default());
        let route = Route::new(provider.name, url, auth, timeouts);
        Self { name: provider.name, wire, model: settings.model(), route }
    }
}

impl ChatModel for ChatProvider {
    fn provider(&self) -> &str {
        self.name
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn attempt_limit(&self) -> Option<Duration> {
        Some(self.route.settings.timeouts.total)
    }

    fn complete<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatResponse>> {
        Box::pin(async {
            let body = openai_chat::encode(&self.wire, &self.model, request, false)?;
            self.route
                .ask(request, body, |answer| openai_chat::decode(&self.wire, &self.model, answer))
                .await
        })
    }

    fn stream<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatStream>> {
        Box::pin(async {
            let body = openai_chat::encode(&self.wire, &self.model, request, true)?;
            self.route.open(body, openai_chat::stream_decoder(self.wire)).await
        })
    }
}
