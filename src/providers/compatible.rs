//! The chat-completions family: a provider is constants, this file is the one implementation.
//!
//! It also serves every server that merely imitates the family (vLLM, llama.cpp, LM Studio, gateways),
//! through [`LlmConfig::openai_compatible`](super::LlmConfig::openai_compatible).

use std::time::Duration;

use super::{Build, Provider, ProviderSettings, Route};
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
    // Only what the server itself said as `reasoning_content` ever goes back.
    build: Build::Chat(Wire { returns_reasoning: true, ..Wire::COMMON }),
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
    pub fn new(provider: &'static Provider, wire: Wire, settings: &ProviderSettings) -> Self {
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
        Self { name: provider.name, wire, model: settings.model().to_owned(), route }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::PROVIDERS;

    type Row = (&'static str, &'static str, usize, &'static str, &'static str);

    // Name, name in complaints, fewest bytes of a key, address, model: those of GraphBit 0.6.8, but for the model
    // of DeepSeek, which the vendor retired.
    const FAMILY: [Row; 10] = [
        ("openai", "OpenAI", 20, "https://api.openai.com/v1", "gpt-4o-mini"),
        ("ai21", "AI21", 8, "https://api.ai21.com/studio/v1", "jamba-mini"),
        (
            "bytedance",
            "ByteDance",
            8,
            "https://ark.ap-southeast.bytepluses.com/api/v3",
            "seed-1-6-250915",
        ),
        ("deepseek", "DeepSeek", 8, "https://api.deepseek.com/v1", "deepseek-flash"),
        (
            "fireworks",
            "Fireworks",
            8,
            "https://api.fireworks.ai/inference/v1",
            "accounts/fireworks/models/llama-v3p1-8b-instruct",
        ),
        ("mistralai", "MistralAI", 8, "https://api.mistral.ai/v1", "mistral-large-latest"),
        ("openrouter", "OpenRouter", 8, "https://openrouter.ai/api/v1", "openai/gpt-4o-mini"),
        ("perplexity", "Perplexity", 8, "https://api.perplexity.ai", "sonar"),
        ("togetherai", "TogetherAI", 8, "https://api.together.ai/v1", "openai/gpt-oss-20b"),
        ("xai", "xAI", 8, "https://api.x.ai/v1", "grok-4"),
    ];

    #[test]
    fn the_family_is_where_it_was() {
        for row in FAMILY {
            let provider = PROVIDERS.into_iter().find(|provider| provider.name == row.0).unwrap();
            let Provider { name, label, shortest_key, base_url, default_model, .. } = *provider;
            assert_eq!((name, label, shortest_key, base_url, default_model), row);
            let settings = ProviderSettings::new(name);
            let url = ChatProvider::new(provider, Wire::COMMON, &settings).route.url;
            assert_eq!(url, format!("{base_url}/chat/completions"));
        }
    }

    #[test]
    fn the_limit_has_another_name_at_openai_only() {
        for provider in PROVIDERS {
            if let Build::Chat(wire) = provider.build {
                assert!(!wire.completion_tokens_field && wire.names_model, "{}", provider.name);
            }
        }
    }
}
