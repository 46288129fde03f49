//! [`LlmConfig`]: which model answers, made once and shared by any number of clients. What it was made
//! from stays beside the model.

use std::fmt;
use std::sync::Arc;

use super::azure::Api;
use super::compatible::ChatProvider;
use super::settings::{Rules, named};
use super::{Build, Connection, PROVIDERS, Provider, ProviderSettings};
use crate::error::Result;
use crate::llm::ChatModel;
use crate::secret::ApiKey;

/// A checked choice of provider and model. Cloning shares it; equal arguments make equal configurations;
/// `Debug` shows no key.
#[derive(Clone)]
pub struct LlmConfig {
    model: Arc<dyn ChatModel>,
    /// `None` for a model of the caller's own, which is equal only to itself.
    settings: Option<ProviderSettings>,
}

impl LlmConfig {
    /// The configuration that these settings describe.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] when the key is missing or too short; [`crate::Kind::Configuration`] for a provider
    /// or an option there is none of.
    pub fn new(mut settings: ProviderSettings) -> Result<Self> {
        let provider = provider(&settings.provider)?;
        settings.complete(&Rules {
            name: provider.name,
            label: provider.label,
            shortest_key: provider.shortest_key,
            default_model: provider.default_model,
            knows: &|option| provider.options.iter().any(|(name, _)| *name == option),
        })?;
        let model: Arc<dyn ChatModel> = match provider.build {
            Build::Chat(wire) => Arc::new(ChatProvider::new(provider, wire, &settings)),
            Build::Own(build) => build(&settings)?,
        };
        Ok(Self { model, settings: Some(settings) })
    }

    /// OpenAI. `model` defaults to `gpt-4o-mini`.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] when the key has fewer than 20 bytes.
    pub fn openai(key: ApiKey, model: Option<String>, connection: Connection) -> Result<Self> {
        let settings = ProviderSettings::new("openai").with_key(key).with_connection(connection);
        Self::new(ProviderSettings { model, ..settings })
    }

    /// Any server that speaks chat completions below `base_url` (`http://localhost:8000/v1`).
    ///
    /// # Errors
    /// None today; the key, if any, is not judged.
    pub fn openai_compatible(
        base_url: impl Into<String>,
        model: impl Into<String>,
        key: Option<ApiKey>,
        connection: Connection,
    ) -> Result<Self> {
        let connection = Connection { base_url: Some(base_url.into()), ..connection };
        let settings = ProviderSettings::new("openai_compatible").with_model(model);
        Self::new(ProviderSettings { key, connection, ..settings })
    }

    /// An Azure deployment at `endpoint`, which replaces `connection.base_url`.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] when the key has fewer than 8 bytes.
    pub fn azure(
        key: ApiKey,
        deployment: impl Into<String>,
        endpoint: impl Into<String>,
        api_version: Option<String>,
        api: Api,
        connection: Connection,
    ) -> Result<Self> {
        let connection = Connection { base_url: Some(endpoint.into()), ..connection };
        let settings = ProviderSettings::new("azurellm")
            .with_key(key)
            .with_model(deployment)
            .with_connection(connection)
            .with_option("api_version", api_version)
            // Left out when it says what is so anyway: equal configurations have equal settings.
            .with_option("api", (api != Api::Auto).then(|| api.as_str().to_owned()));
        Self::new(settings)
    }

    /// A local or remote Ollama. `model` defaults to `llama3.2`; the address to `connection.base_url`,
    /// else the environment variable `OLLAMA_HOST` as it is now, else `http://localhost:11434`.
    ///
    /// # Errors
    /// None today.
    pub fn ollama(model: Option<String>, connection: Connection) -> Result<Self> {
        let settings = ProviderSettings::new("ollama").with_connection(connection);
        Self::new(ProviderSettings { model, ..settings })
    }

    /// A model that is not one of the providers here: local, or the caller's own.
    #[must_use]
    pub fn from_model(model: Arc<dyn ChatModel>) -> Self {
        Self { model, settings: None }
    }

    /// The model, for [`crate::llm::LlmClient::new`].
    #[must_use]
    pub fn model(&self) -> Arc<dyn ChatModel> {
        Arc::clone(&self.model)
    }

    /// What it was made from; `None` for a model of the caller's own.
    #[must_use]
    pub fn settings(&self) -> Option<&ProviderSettings> {
        self.settings.as_ref()
    }

    /// The provider's name (`"openai"`).
    #[must_use]
    pub fn provider(&self) -> &str {
        self.model.provider()
    }

    /// The model's or deployment's name.
    #[must_use]
    pub fn model_name(&self) -> &str {
        self.model.model()
    }
}

/// The provider of this name.
pub(super) fn provider(name: &str) -> Result<&'static Provider> {
    named(name, "provider", &PROVIDERS, |provider| provider.name)
}

impl PartialEq for LlmConfig {
    fn eq(&self, other: &Self) -> bool {
        match (&self.settings, &other.settings) {
            (None, None) => Arc::ptr_eq(&self.model, &other.model),
            (one, other) => one == other,
        }
    }
}

impl fmt::Debug for LlmConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlmConfig")
            .field("provider", &self.provider())
            .field("model", &self.model_name())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn openai(key: &str) -> Result<LlmConfig> {
        LlmConfig::openai(ApiKey::new(key), None, Connection::default())
    }

    #[test]
    fn keys_are_measured_in_bytes() {
        assert_eq!(openai("").unwrap_err().message(), "OpenAI API key cannot be empty");
        let short = openai(&"k".repeat(19)).unwrap_err();
        assert_eq!((short.kind(), short.message()), (Kind::Validation, "OpenAI API key too short"));
        assert!(openai(&"k".repeat(20)).is_ok());
        assert!(openai(&"é".repeat(10)).is_ok());
        let azure = |key: &str| {
            let connection = Connection::default();
            LlmConfig::azure(ApiKey::new(key), "d", "e", None, Api::Auto, connection)
        };
        assert_eq!(azure("1234567").unwrap_err().message(), "Azure LLM API key too short");
        assert!(azure("12345678").is_ok());
    }

    #[test]
    fn every_provider_can_be_made_and_fills_in_its_model() {
        for provider in PROVIDERS {
            let key = ApiKey::new("k".repeat(provider.shortest_key));
            let config =
                LlmConfig::new(ProviderSettings::new(provider.name).with_key(key)).unwrap();
            assert_eq!(
                (config.provider(), config.model_name()),
                (provider.name, provider.default_model)
            );
        }
        let unknown = LlmConfig::new(ProviderSettings::new("skynet")).unwrap_err();
        assert!(unknown.message().contains("openrouter"), "{unknown}");
        let odd = ProviderSettings::new("ollama").with_option("region", Some("eu"));
        assert_eq!(LlmConfig::new(odd).unwrap_err().kind(), Kind::Configuration);
    }

    #[test]
    fn equal_arguments_make_equal_configurations() {
        let key = "k".repeat(20);
        assert_eq!(openai(&key).unwrap(), openai(&key).unwrap());
        assert_ne!(openai(&key).unwrap(), openai(&"l".repeat(20)).unwrap());
        let given = LlmConfig::from_model(openai(&key).unwrap().model());
        assert_eq!(given, given.clone());
        assert_ne!(given, LlmConfig::from_model(openai(&key).unwrap().model()));
    }

    #[test]
    fn debug_shows_no_key() {
        let shown = format!("{:?}", openai("sk-0123456789abcdef0123").unwrap());
        assert!(shown.contains("gpt-4o-mini") && !shown.contains("0123"), "{shown}");
    }
}
