//! Azure OpenAI: one deployment, reached by its chat route or by the Responses API.
//!
//! Which of the two serves a deployment cannot be asked; [`Api::Auto`] guesses from its name, as
//! GraphBit 0.6.8 did, and [`Api::Chat`] and [`Api::Responses`] say it.

use std::sync::Arc;
use std::time::Duration;

use super::{Build, Provider, ProviderSettings, Route, labelled};
use crate::dialect::openai_chat::Wire;
use crate::dialect::{openai_chat, openai_responses};
use crate::error::{Error, Result};
use crate::http::{Auth, Timeouts};
use crate::llm::{BoxFuture, ChatModel, ChatStream};
use crate::types::{ChatRequest, ChatResponse};

const PROVIDER: &str = "azurellm";

/// Azure's constants. Its model is the deployment's name.
pub const AZURE: Provider = Provider {
    name: PROVIDER,
    label: "Azure LLM",
    shortest_key: 8,
    base_url: "",
    default_model: "",
    key_variables: &["AZURE_OPENAI_API_KEY"],
    url_variable: Some("AZURE_OPENAI_ENDPOINT"),
    options: &[("api_version", None), ("api", None)],
    build: Build::Own(|settings| Ok(Arc::new(AzureProvider::new(settings)?))),
};

const CHAT_API_VERSION: &str = "2024-10-21";
/// The chat route's default is older than the Responses API.
const RESPONSES_API_VERSION: &str = "2025-04-01-preview";

/// Which API serves a deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Api {
    /// Guess from the deployment's name.
    #[default]
    Auto,
    /// `/openai/deployments/{deployment}/chat/completions`.
    Chat,
    /// `/openai/responses`.
    Responses,
}

impl Api {
    /// The word for it, as `api=` takes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Chat => "chat",
            Self::Responses => "responses",
        }
    }

    /// Reads `"auto"`, `"chat"` or `"responses"`.
    ///
    /// # Errors
    /// [`Kind::Validation`] for any other word.
    pub fn from_word(word: &str) -> Result<Self> {
        match word {
            "auto" => Ok(Self::Auto),
            "chat" => Ok(Self::Chat),
            "responses" => Ok(Self::Responses),
            other => {
                let text = "api must be 'auto', 'chat' or 'responses'";
                Err(Error::validation("api", Some(other), text))
            }
        }
    }

    fn is_responses(self, deployment: &str) -> bool {
        match self {
            Self::Chat => false,
            Self::Responses => true,
            Self::Auto => {
                let name = deployment.to_lowercase();
                let starts =
                    ["o1", "o3", "o4", "text-davinci", "davinci", "curie", "babbage", "ada"];
                ["gpt", "codex", "-o1", "-o3", "-o4"].iter().any(|part| name.contains(part))
                    || starts.iter().any(|start| name.starts_with(start))
            }
        }
    }
}

/// One deployment.
pub struct AzureProvider {
    deployment: String,
    responses: bool,
    route: Route,
}

impl AzureProvider {
    /// Prepares nothing but texts; see [`super::LlmConfig::azure`].
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] for an `api` that is none of the three words.
    pub fn new(settings: &ProviderSettings) -> Result<Self> {
        let deployment = settings.model().to_owned();
        let option = |name: &str| settings.options.get(name).map(String::as_str);
        let responses = Api::from_word(option("api").unwrap_or("auto"))?.is_responses(&deployment);
        let api_version = option("api_version");
        let endpoint = settings.connection.base("");
        let url = if responses {
            let version = api_version.unwrap_or(RESPONSES_API_VERSION);
            format!("{endpoint}/openai/responses?api-version={version}")
        } else {
            let version = api_version.unwrap_or(CHAT_API_VERSION);
            format!(
                "{endpoint}/openai/deployments/{deployment}/chat/completions?api-version={version}"
            )
        };
        let key = settings.key.clone().unwrap_or_default();
        let timeouts = settings.connection.settings(Timeouts::default());
        let mut route = Route::new(PROVIDER, url, Auth::Header("api-key", key), timeouts);
        if responses {
            route = route.explained(|_, error, _| labelled(error, "Responses API error: "));
        }
        Ok(Self { deployment, responses, route })
    }
}

impl ChatModel for AzureProvider {
    fn provider(&self) -> &str {
        PROVIDER
    }

    fn model(&self) -> &str {
        &self.deployment
    }

    fn attempt_limit(&self) -> Option<Duration> {
        Some(self.route.settings.timeouts.total)
    }

    fn complete<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatResponse>> {
        Box::pin(async {
            let name = self.deployment.as_str();
            if self.responses {
                let body = openai_responses::encode(name, request, false)?;
                self.route.ask(request, body, |answer| openai_responses::decode(name, answer)).await
            } else {
                let body = openai_chat::encode(&Wire::AZURE, name, request, false)?;
                self.route
                    .ask(request, body, |answer| openai_chat::decode(&Wire::AZURE, name, answer))
                    .await
            }
        })
    }

    fn stream<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatStream>> {
        Box::pin(async {
            let name = self.deployment.as_str();
            if self.responses {
                let body = openai_responses::encode(name, request, true)?;
                self.route.open(body, openai_responses::stream_decoder()).await
            } else {
                let body = openai_chat::encode(&Wire::AZURE, name, request, true)?;
                self.route.open(body, openai_chat::stream_decoder(Wire::AZURE)).await
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn url(deployment: &str, version: Option<&str>, api: Api) -> String {
        let mut settings = ProviderSettings::new("azurellm").with_model(deployment);
        settings.connection.base_url = Some("https://x//".into());
        settings.options.insert("api".into(), api.as_str().into());
        settings.options.extend(version.map(|text| ("api_version".into(), text.into())));
        AzureProvider::new(&settings).unwrap().route.url
    }

    #[test]
    fn the_route_follows_the_name_or_the_order() {
        for name in ["gpt-4o", "chatGPT", "codex", "my-o1", "o3-mini", "davinci-2", "adapter-llama"]
        {
            assert!(Api::Auto.is_responses(name), "{name}");
            assert!(!Api::Chat.is_responses(name), "{name}");
        }
        for name in ["prod-chat", "o5", "deepseek-r1", "claude", ""] {
            assert!(!Api::Auto.is_responses(name), "{name}");
            assert!(Api::Responses.is_responses(name), "{name}");
        }
        assert_eq!(Api::from_word("grpc").unwrap_err().kind(), Kind::Validation);
    }

    #[test]
    fn each_route_has_a_version_that_serves_it() {
        assert_eq!(
            url("prod", None, Api::Auto),
            "https://x/openai/deployments/prod/chat/completions?api-version=2024-10-21"
        );
        assert_eq!(
            url("gpt-4o", None, Api::Auto),
            "https://x/openai/responses?api-version=2025-04-01-preview"
        );
        assert_eq!(
            url("gpt-4o", Some("2024-10-21"), Api::Auto),
            "https://x/openai/responses?api-version=2024-10-21"
        );
    }
}
