//! OpenAI: `POST https://api.openai.com/v1/chat/completions`, or `/responses` where that is asked for.
//!
//! Chat completions serve every model, and are what GraphBit 0.6.8 used; the option `api` chooses the
//! Responses API, which shows what reasoning models think, in summary.

use std::sync::Arc;
use std::time::Duration;

use super::compatible::ChatProvider;
use super::{Build, Provider, ProviderSettings, Route};
use crate::dialect::openai_chat::Wire;
use crate::dialect::openai_responses;
use crate::error::{Error, Result};
use crate::http::{Auth, Timeouts};
use crate::llm::{BoxFuture, ChatModel, ChatStream};
use crate::types::{ChatRequest, ChatResponse};

/// OpenAI's constants.
pub const OPENAI: Provider = Provider {
    name: "openai",
    label: "OpenAI",
    shortest_key: 20,
    base_url: "https://api.openai.com/v1",
    default_model: "gpt-4o-mini",
    key_variables: &["OPENAI_API_KEY"],
    url_variable: Some("OPENAI_BASE_URL"),
    options: &[("api", None)],
    build: Build::Own(build),
};

fn build(settings: &ProviderSettings) -> Result<Arc<dyn ChatModel>> {
    match settings.options.get("api").map_or("chat", String::as_str) {
        "chat" => Ok(Arc::new(ChatProvider::new(&OPENAI, Wire::OPENAI, settings))),
        "responses" => Ok(Arc::new(ResponsesProvider::new(settings))),
        other => {
            let text = "api must be 'chat' or 'responses'";
            Err(Error::validation("api", Some(other), text))
        }
    }
}

/// One model behind the Responses API.
pub struct ResponsesProvider {
    model: String,
    route: Route,
}

impl ResponsesProvider {
    /// Prepares nothing but texts; see [`super::LlmConfig::new`].
    #[must_use]
    pub fn new(settings: &ProviderSettings) -> Self {
        let url = format!("{}/responses", settings.connection.base(OPENAI.base_url));
        let auth = Auth::Bearer(settings.key.clone().unwrap_or_default());
        let timeouts = settings.connection.settings(Timeouts::default());
        Self {
            model: settings.model().to_owned(),
            route: Route::new(OPENAI.name, url, auth, timeouts),
        }
    }
}

impl ChatModel for ResponsesProvider {
    fn provider(&self) -> &str {
        OPENAI.name
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn attempt_limit(&self) -> Option<Duration> {
        Some(self.route.settings.timeouts.total)
    }

    fn complete<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatResponse>> {
        Box::pin(async {
            let body = openai_responses::encode(&self.model, request, false)?;
            let decode = |answer: &[u8]| openai_responses::decode(&self.model, answer);
            self.route.ask(request, body, decode).await
        })
    }

    fn stream<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatStream>> {
        Box::pin(async {
            let body = openai_responses::encode(&self.model, request, true)?;
            self.route.open(body, openai_responses::stream_decoder()).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn the_api_is_one_of_two_words() {
        let settings = |api: &str| ProviderSettings::new("openai").with_option("api", Some(api));
        for api in ["chat", "responses"] {
            assert_eq!(build(&settings(api)).unwrap().provider(), "openai");
        }
        let error = build(&settings("auto")).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), Kind::Validation);
        assert!(error.message().ends_with("api must be 'chat' or 'responses'"), "{error}");
    }
}
