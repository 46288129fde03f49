//! [`EmbeddingConfig`]: which embedding model answers, made once and shared by any number of clients. What
//! it was made from stays beside the model.

use std::fmt;
use std::sync::Arc;

use super::{EmbeddingProvider, Encoding, HttpEmbeddingModel, PROVIDERS};
use crate::embeddings::EmbeddingModel;
use crate::error::{Error, Result};
use crate::providers::settings::{Rules, named};
use crate::providers::{Connection, ProviderSettings};
use crate::secret::ApiKey;

impl ProviderSettings {
    pub(super) fn dimensions(&self) -> Result<Option<usize>> {
        let Some(word) = self.option("dimensions") else { return Ok(None) };
        match word.parse() {
            Ok(0) | Err(_) => {
                let text = "dimensions must be greater than 0";
                Err(Error::validation("dimensions", Some(word), text))
            }
            Ok(number) => Ok(Some(number)),
        }
    }

    pub(super) fn encoding(&self) -> Result<Option<Encoding>> {
        match self.option("encoding_format") {
            None => Ok(None),
            Some("base64") => Ok(Some(Encoding::Base64)),
            Some("float") => Ok(Some(Encoding::Float)),
            Some(other) => {
                let text = "encoding_format must be 'base64' or 'float'";
                Err(Error::validation("encoding_format", Some(other), text))
            }
        }
    }
}

/// A checked choice of provider and model. Cloning shares it; equal arguments make equal configurations;
/// `Debug` shows no key.
#[derive(Clone)]
pub struct EmbeddingConfig {
    model: Arc<dyn EmbeddingModel>,
    /// `None` for a model of the caller's own, which is equal only to itself.
    settings: Option<ProviderSettings>,
}

impl EmbeddingConfig {
    /// The configuration that these settings describe.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] when the key is missing or too short, or an option's value makes no
    /// sense; [`crate::Kind::Configuration`] for a provider or an option there is none of.
    pub fn new(mut settings: ProviderSettings) -> Result<Self> {
        let provider = provider(&settings.provider)?;
        settings.complete(&Rules {
            name: provider.name,
            label: provider.label,
            shortest_key: provider.shortest_key,
            default_model: provider.default_model,
            knows: &|option| provider.options.contains(&option),
        })?;
        let model = Arc::new(HttpEmbeddingModel::new(provider, &settings)?);
        Ok(Self { model, settings: Some(settings) })
    }

    /// OpenAI. `model` defaults to `text-embedding-3-small`.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] when the key has fewer than 20 bytes.
    pub fn openai(key: ApiKey, model: Option<String>, connection: Connection) -> Result<Self> {
        let settings = ProviderSettings::new("openai").with_key(key).with_connection(connection);
        Self::new(ProviderSettings { model, ..settings })
    }

    /// A deployment of Azure OpenAI at `endpoint`, which replaces `connection.base_url`.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] when the key has fewer than 8 bytes.
    pub fn azure(
        key: ApiKey,
        deployment: &str,
        endpoint: impl Into<String>,
        api_version: Option<String>,
        connection: Connection,
    ) -> Result<Self> {
        let connection = Connection { base_url: Some(endpoint.into()), ..connection };
        let settings = ProviderSettings::new("azure")
            .with_key(key)
            .with_connection(connection)
            .with_option("deployment", Some(deployment))
            .with_option("api_version", api_version);
        Self::new(settings)
    }

    /// Any server that answers `POST {base_url}/embeddings` as OpenAI does.
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

    /// A model that is not one of the providers here: local, or the caller's own.
    #[must_use]
    pub fn from_model(model: Arc<dyn EmbeddingModel>) -> Self {
        Self { model, settings: None }
    }

    /// The model, for [`crate::embeddings::EmbeddingClient::new`].
    #[must_use]
    pub fn model(&self) -> Arc<dyn EmbeddingModel> {
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

    /// The model's name.
    #[must_use]
    pub fn model_name(&self) -> &str {
        self.model.model()
    }
}

/// The provider of this name.
pub(super) fn provider(name: &str) -> Result<&'static EmbeddingProvider> {
    named(name, "embedding provider", &PROVIDERS, |provider| provider.name)
}

impl PartialEq for EmbeddingConfig {
    fn eq(&self, other: &Self) -> bool {
        match (&self.settings, &other.settings) {
            (None, None) => Arc::ptr_eq(&self.model, &other.model),
            (one, other) => one == other,
        }
    }
}

impl fmt::Debug for EmbeddingConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddingConfig")
            .field("provider", &self.provider())
            .field("model", &self.model_name())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::runtime;

    fn refusal(settings: ProviderSettings) -> (Kind, String) {
        let error = EmbeddingConfig::new(settings).unwrap_err();
        (error.kind(), error.message().to_owned())
    }

    #[test]
    fn keys_are_measured_in_bytes() {
        for provider in PROVIDERS.iter().filter(|provider| provider.shortest_key > 0) {
            let with = |key: &str| ProviderSettings::new(provider.name).with_key(ApiKey::new(key));
            let (kind, text) = refusal(ProviderSettings::new(provider.name));
            assert_eq!(kind, Kind::Validation);
            assert_eq!(text, format!("{} API key cannot be empty", provider.label));
            let (_, text) = refusal(with(&"x".repeat(provider.shortest_key - 1)));
            assert_eq!(text, format!("{} API key too short", provider.label));
            assert!(EmbeddingConfig::new(with(&"é".repeat(provider.shortest_key / 2))).is_ok());
        }
    }

    #[test]
    fn every_provider_can_be_made_and_fills_in_its_model() {
        for provider in PROVIDERS {
            let key = ApiKey::new("k".repeat(provider.shortest_key));
            let settings = ProviderSettings::new(provider.name).with_key(key);
            let config = EmbeddingConfig::new(settings.clone()).unwrap();
            assert_eq!(
                (config.provider(), config.model_name()),
                (provider.name, provider.default_model)
            );
            assert!(config.model().max_batch() >= 96);
            let odd = settings.with_option("temperature", Some(1));
            assert_eq!(refusal(odd).0, Kind::Configuration);
        }
        let (kind, text) = refusal(ProviderSettings::new("skynet"));
        assert!(kind == Kind::Configuration && text.contains("voyage"), "{text}");
    }

    #[test]
    fn options_that_make_no_sense_are_named() {
        let with = |name: &str, value: &str| {
            refusal(ProviderSettings::new("openai_compatible").with_option(name, Some(value)))
        };
        for (name, value) in [("dimensions", "0"), ("dimensions", "-1"), ("encoding_format", "")] {
            let (kind, text) = with(name, value);
            assert!(kind == Kind::Validation && text.contains(name), "{text}");
        }
    }

    #[test]
    fn equal_arguments_make_equal_configurations() {
        let openai = |key: &str| {
            EmbeddingConfig::openai(ApiKey::new(key.repeat(20)), None, Connection::default())
        };
        assert_eq!(openai("k").unwrap(), openai("k").unwrap());
        assert_ne!(openai("k").unwrap(), openai("l").unwrap());
        let given = EmbeddingConfig::from_model(openai("k").unwrap().model());
        assert_eq!(given, given.clone());
        assert_ne!(given, EmbeddingConfig::from_model(openai("k").unwrap().model()));
        let shown = format!("{:?}", openai("hunter2").unwrap());
        assert!(shown.contains("text-embedding-3-small") && !shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn an_unusable_address_is_reported_by_the_first_request() {
        let key = ApiKey::new("12345678");
        let config = EmbeddingConfig::azure(key, "d", "", None, Connection::default()).unwrap();
        let work = async move { config.model().embed(&["x".to_owned()], true).await };
        let error = runtime::block_on(work).unwrap_err();
        assert_eq!(error.kind(), Kind::Configuration);
        let start = "LLM error: Failed to send request to Azure: builder error: the URL '/openai";
        assert!(error.message().starts_with(start), "{error}");
    }
}
