//! [`LlmConfig`]: which model answers, made once and shared by any number of clients.

use std::fmt;
use std::sync::Arc;

use super::azure::{Api, AzureProvider};
use super::compatible::{COMPATIBLE, ChatProvider, ChatSpec};
use super::ollama::OllamaProvider;
use super::openai::OPENAI;
use super::{Connection, check_key};
use crate::error::Result;
use crate::llm::ChatModel;
use crate::secret::ApiKey;

/// A checked choice of provider and model. Cloning shares it; equal arguments make equal configurations;
/// `Debug` shows no key.
#[derive(Clone)]
pub struct LlmConfig {
    model: Arc<dyn ChatModel>,
    origin: Origin,
}

/// What the configuration was made from, for comparing.
#[derive(Clone, PartialEq)]
enum Origin {
    Chat {
        spec: &'static ChatSpec,
        key: Option<ApiKey>,
        model: String,
        connection: Connection,
    },
    Azure {
        key: ApiKey,
        deployment: String,
        endpoint: String,
        api_version: Option<String>,
        api: Api,
        connection: Connection,
    },
    Ollama {
        model: String,
        base: String,
        connection: Connection,
    },
    /// A model of the caller's own; equal only to itself.
    Given,
}

impl LlmConfig {
    /// A provider of the chat-completions family. `model` defaults to the provider's.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] when the key is missing or too short.
    pub fn chat(
        spec: &'static ChatSpec,
        key: Option<ApiKey>,
        model: Option<String>,
        connection: Connection,
    ) -> Result<Self> {
        check_key(spec.label, spec.shortest_key, key.as_ref().unwrap_or(&ApiKey::default()))?;
        let model = model.unwrap_or_else(|| spec.default_model.to_owned());
        Ok(Self {
            model: Arc::new(ChatProvider::new(spec, key.clone(), model.clone(), &connection)),
            origin: Origin::Chat { spec, key, model, connection },
        })
    }

    /// OpenAI. `model` defaults to `gpt-4o-mini`.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] when the key has fewer than 20 bytes.
    pub fn openai(key: ApiKey, model: Option<String>, connection: Connection) -> Result<Self> {
        Self::chat(&OPENAI, Some(key), model, connection)
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
        Self::chat(&COMPATIBLE, key, Some(model.into()), connection)
    }

    /// An Azure deployment. `connection.base_url` is not used: `endpoint` says where.
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
        check_key("Azure LLM", 8, &key)?;
        let (deployment, endpoint) = (deployment.into(), endpoint.into());
        let provider = AzureProvider::new(
            key.clone(),
            &deployment,
            &endpoint,
            api_version.as_deref(),
            api,
            &connection,
        );
        Ok(Self {
            model: Arc::new(provider),
            origin: Origin::Azure { key, deployment, endpoint, api_version, api, connection },
        })
    }

    /// A local or remote Ollama. `model` defaults to `llama3.2`; the address to `connection.base_url`,
    /// else the environment variable `OLLAMA_HOST` as it is now, else `http://localhost:11434`.
    #[must_use]
    pub fn ollama(model: Option<String>, connection: Connection) -> Self {
        let model = model.unwrap_or_else(|| super::ollama::DEFAULT_MODEL.to_owned());
        let base = super::ollama::base_url(&connection);
        Self {
            model: Arc::new(OllamaProvider::new(model.clone(), &base, &connection)),
            origin: Origin::Ollama { model, base, connection },
        }
    }

    /// A model that is not one of the providers here: local, or the caller's own.
    #[must_use]
    pub fn from_model(model: Arc<dyn ChatModel>) -> Self {
        Self { model, origin: Origin::Given }
    }

    /// The model, for [`crate::llm::LlmClient::new`].
    #[must_use]
    pub fn model(&self) -> Arc<dyn ChatModel> {
        Arc::clone(&self.model)
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

impl PartialEq for LlmConfig {
    fn eq(&self, other: &Self) -> bool {
        match (&self.origin, &other.origin) {
            (Origin::Given, Origin::Given) => Arc::ptr_eq(&self.model, &other.model),
            (a, b) => a == b,
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
