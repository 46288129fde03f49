//! Gemini: `POST {base}/models/{model}:generateContent`, streams at `:streamGenerateContent?alt=sse`.
//!
//! The key travels in a header and never in a URL, where proxies and logs would keep it; whatever the
//! server says comes back without it.

use std::sync::Arc;
use std::time::Duration;

use super::{Build, Provider, ProviderSettings, Route, labelled};
use crate::dialect::gemini;
use crate::error::{Advice, Error, Result};
use crate::http::{Auth, Timeouts};
use crate::llm::{BoxFuture, ChatModel, ChatStream};
use crate::types::{ChatRequest, ChatResponse};

const PROVIDER: &str = "gemini";
pub(super) const LABEL: &str = "Gemini";
pub(super) const SHORTEST_KEY: usize = 8;
pub(super) const BASE_URL: &str = "https://generativelanguage.googleapis.com/v1beta";
pub(super) const KEY_HEADER: &str = "x-goog-api-key";

/// Gemini's constants.
pub const GEMINI: Provider = Provider {
    name: PROVIDER,
    label: LABEL,
    shortest_key: SHORTEST_KEY,
    base_url: BASE_URL,
    // 0.6.8 had gemini-2.5-flash. Google refuses that to new keys since July 2026, shuts it down on
    // 1 December 2026, and names this one as its replacement, to which it sends the old name's requests.
    default_model: "gemini-3.5-flash-lite",
    key_variables: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
    url_variable: Some("GEMINI_BASE_URL"),
    options: &[],
    build: Build::Own(|settings| Ok(Arc::new(GeminiProvider::new(settings)))),
};

/// One model.
pub struct GeminiProvider {
    model: String,
    whole: Route,
    stream: Route,
}

impl GeminiProvider {
    /// Prepares nothing but texts; see [`super::LlmConfig::new`].
    #[must_use]
    pub fn new(settings: &ProviderSettings) -> Self {
        let model = settings.model().to_owned();
        let base = settings.connection.base(GEMINI.base_url);
        let key = settings.key.clone().unwrap_or_default();
        let timeouts = settings.connection.settings(Timeouts {
            // The model may think for long before its first word.
            total: Duration::from_secs(120),
            first_byte: Duration::from_secs(120),
            ..Timeouts::default()
        });
        let route = |verb: &str| {
            let url = format!("{base}/{}:{verb}", path(&model));
            let auth = Auth::Header(KEY_HEADER, key.clone());
            Route::new(PROVIDER, url, auth, timeouts.clone()).explained(explain)
        };
        let (whole, stream) = (route("generateContent"), route("streamGenerateContent?alt=sse"));
        Self { model, whole, stream }
    }
}

/// The resource a model's name stands for: `x` is `models/x`, `tunedModels/x` is itself.
pub(super) fn resource(model: &str) -> String {
    let named = ["models/", "tunedModels/"].iter().any(|collection| model.starts_with(collection));
    if named { model.to_owned() } else { format!("models/{model}") }
}

/// The same as part of a URL, in which a name cannot become another path or a query.
pub(super) fn path(model: &str) -> String {
    let resource = resource(model);
    let (collection, name) = resource.split_once('/').unwrap_or(("models", &resource));
    let mut path = format!("{collection}/");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

fn explain(_: &Route, error: Error, _: bool) -> Error {
    labelled(advised(error), "API error: ")
}

/// A refusal that heals by waiting, with the wait its body asks for.
pub(super) fn advised(error: Error) -> Error {
    match (error.advice(), gemini::advice(error.message())) {
        (Advice::Retry { after: None }, Some(advice)) => error.with_advice(advice),
        _ => error,
    }
}

impl ChatModel for GeminiProvider {
    fn provider(&self) -> &str {
        PROVIDER
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn attempt_limit(&self) -> Option<Duration> {
        Some(self.whole.settings.timeouts.total)
    }

    fn complete<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatResponse>> {
        Box::pin(async {
            let body = gemini::encode(&self.model, request)?;
            self.whole.ask(request, body, |answer| gemini::decode(&self.model, answer)).await
        })
    }

    fn stream<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatStream>> {
        Box::pin(async {
            let body = gemini::encode(&self.model, request)?;
            self.stream.open(body, gemini::stream_decoder()).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::secret::ApiKey;

    fn provider(model: &str, base_url: Option<&str>) -> GeminiProvider {
        let mut settings = ProviderSettings::new(PROVIDER).with_model(model);
        settings.key = Some(ApiKey::new("hunter2-key"));
        settings.connection.base_url = base_url.map(str::to_owned);
        GeminiProvider::new(&settings)
    }

    #[test]
    fn urls_name_the_model_and_never_the_key() {
        let host = "https://generativelanguage.googleapis.com/v1beta";
        for (model, path) in [
            ("gemini-3.8-flash", "models/gemini-3.8-flash"),
            ("models/x", "models/x"),
            ("tunedModels/my tune", "tunedModels/my%20tune"),
            ("a/b?key=c#d%ä", "models/a%2Fb%3Fkey%3Dc%23d%25%C3%A4"),
            ("../..", "models/..%2F.."),
            ("", "models/"),
        ] {
            let provider = provider(model, None);
            assert_eq!(provider.whole.url, format!("{host}/{path}:generateContent"));
            let url = format!("{host}/{path}:streamGenerateContent?alt=sse");
            assert_eq!(provider.stream.url, url);
            assert_eq!(provider.model(), model);
            let prepared = provider.stream.prepared.as_ref().unwrap();
            assert_eq!(format!("{}?alt=sse", prepared.url()), url, "nothing was normalised away");
        }
        assert_eq!(
            provider("x", Some("http://h/p/")).whole.url,
            "http://h/p/models/x:generateContent"
        );
    }

    #[test]
    fn a_pause_named_in_the_body_is_kept_to() {
        let provider = provider("x", None);
        let refusal = |body: &str| {
            explain(
                &provider.whole,
                Error::new(Kind::RateLimited, body.to_owned()).with_status(429),
                false,
            )
        };
        let error = refusal(r#"{"error":{"details":[{"retryDelay":"7.5s"}]}}"#);
        assert_eq!(error.retry_after(), Some(Duration::from_millis(7500)));
        assert!(error.message().starts_with("API error: {"), "{error}");
        assert_eq!(refusal("slow down").advice(), Advice::Retry { after: None });
        let denied = Error::new(Kind::BadRequest, r#"{"error":{"details":[{"retryDelay":"7s"}]}}"#);
        assert_eq!(explain(&provider.whole, denied, false).advice(), Advice::Never);
    }
}
