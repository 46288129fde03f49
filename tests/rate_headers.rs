//! What providers say of their rate limits reaches whoever limits the rate, from real answers.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use graphbit::providers::embeddings::EmbeddingConfig;
use graphbit::providers::{LlmConfig, ProviderSettings};
use graphbit::resilience::{RateLimit, RateSettings};
use graphbit::runtime;
use graphbit::secret::ApiKey;
use graphbit::types::{ChatRequest, Pace};
use serde_json::{Value, json};
use support::Simulator;

fn settings(simulator: &Simulator, scope: &str, provider: &'static str) -> ProviderSettings {
    let key = ApiKey::new("sk-0123456789abcdef0123456789");
    let mut settings = ProviderSettings::new(provider).with_key(key).with_model("m");
    settings.connection.base_url = Some(format!("{}/v1", simulator.url(scope)));
    settings
}

fn chat(simulator: &Simulator, provider: &'static str, headers: &Value) -> Option<Box<Pace>> {
    simulator.behaviour(provider, &json!({ "headers": headers }));
    let mut settings = settings(simulator, provider, provider);
    if provider == "ollama" {
        settings.connection.base_url = Some(simulator.url(provider));
    }
    let model = LlmConfig::new(settings).unwrap().model();
    let answer =
        runtime::block_on(async move { model.complete(&ChatRequest::from_prompt("Hello?")).await });
    answer.unwrap().pace
}

#[test]
fn every_way_to_a_model_carries_the_headers_along() {
    let simulator = Simulator::start();
    let headers = json!({
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
    });
    let expected = Pace {
        limit_requests: Some(500),
        remaining_requests: Some(499),
        reset_requests: Some(Duration::from_millis(120)),
        ..Pace::default()
    };
    for provider in ["openai", "anthropic", "ollama", "gemini", "replicate"] {
        let pace = chat(&simulator, provider, &headers);
        assert_eq!(pace.as_deref(), Some(&expected), "{provider}");
    }
    assert_eq!(chat(&simulator, "mistralai", &json!({})), None);

    simulator.behaviour("embeddings", &json!({ "headers": headers }));
    let model = EmbeddingConfig::new(settings(&simulator, "embeddings", "openai")).unwrap().model();
    let answer = runtime::block_on(async move { model.embed(&["text".into()], true).await });
    assert_eq!(answer.unwrap().pace.as_deref(), Some(&expected));
}

#[test]
fn a_limit_is_learned_from_an_answer() {
    let simulator = Simulator::start();
    let headers = json!({
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-tokens-limit": "80000",
        "anthropic-ratelimit-tokens-remaining": "79000",
    });
    let limit = RateLimit::new(RateSettings::default()).unwrap();
    limit.observe(&chat(&simulator, "anthropic", &headers).unwrap());
    let learned = limit.snapshot();
    assert_eq!(learned.requests_per_minute.map(f64::round), Some(50.0));
    assert_eq!(learned.tokens_per_minute.map(f64::round), Some(80_000.0));
}
