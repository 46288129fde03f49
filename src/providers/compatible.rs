//! The chat-completions family: a provider is constants, this file is the one implementation.
//!
//! It also serves every server that merely imitates the family (vLLM, llama.cpp, LM Studio, gateways),
//! through [`LlmConfig::openai_compatible`](super::LlmConfig::openai_compatible).

use std::time::Duration;

use super::{Connection, Route};
use crate::dialect::openai_chat::{self, Wire};
use crate::error::Result;
use crate::http::{Auth, Timeouts};
use crate::llm::{BoxFuture, ChatModel, ChatStream};
use crate::secret::ApiKey;
use crate::types::{ChatRequest, ChatResponse};

/// What distinguishes one provider of the family from another. Headers of its own go into
/// [`Connection::headers`].
#[derive(Debug, PartialEq)]
pub struct ChatSpec {
    /// The name in errors and from `provider()`.
    pub provider: &'static str,
    /// The name in complaints about its key.
    pub label: &'static str,
    /// Fewest bytes of a key; 0 when it needs none.
    pub shortest_key: usize,
    /// Where `/chat/completions` is appended.
    pub base_url: &'static str,
    /// The model when none is named.
    pub default_model: &'static str,
    /// How its wire departs from the common one.
    pub wire: Wire,
}

/// Whoever answers at the address the user gives.
pub const COMPATIBLE: ChatSpec = ChatSpec {
    provider: "openai_compatible",
    label: "OpenAI-compatible",
    shortest_key: 0,
    base_url: "",
    default_model: "",
    wire: Wire::COMMON,
};

/// One model of one provider of the family.
pub struct ChatProvider {
    spec: &'static ChatSpec,
    model: String,
    route: Route,
}

impl ChatProvider {
    /// Prepares nothing but texts; see [`super::LlmConfig::chat`].
    #[must_use]
    pub fn new(
        spec: &'static ChatSpec,
        key: Option<ApiKey>,
        model: String,
        connection: &Connection,
    ) -> Self {
        let url = format!("{}/chat/completions", connection.base(spec.base_url));
        let auth = key.filter(|key| !key.is_empty()).map_or(Auth::None, Auth::Bearer);
        let settings = connection.settings(Timeouts::default());
        Self { spec, model, route: Route::new(spec.provider, url, auth, settings) }
    }
}

impl ChatModel for ChatProvider {
    fn provider(&self) -> &str {
        self.spec.provider
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn attempt_limit(&self) -> Option<Duration> {
        Some(self.route.settings.timeouts.total)
    }

    fn complete<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatResponse>> {
        Box::pin(async {
            let body = openai_chat::encode(&self.spec.wire, &self.model, request, false)?;
            self.route
                .ask(body, |answer| openai_chat::decode(&self.spec.wire, &self.model, answer))
                .await
        })
    }

    fn stream<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatStream>> {
        Box::pin(async {
            let body = openai_chat::encode(&self.spec.wire, &self.model, request, true)?;
            self.route.open(body, openai_chat::stream_decoder(self.spec.wire)).await
        })
    }
}
