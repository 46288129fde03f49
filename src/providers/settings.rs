//! [`ProviderSettings`]: what a configuration is made from, be it of a language model or of embeddings.
//!
//! Plain data that can be compared, filled in from the environment, and sent to another process to make
//! the same configuration there. It refuses to know what a provider does with it.
//!
//! ```
//! use graphbit::providers::{LlmConfig, ProviderSettings};
//!
//! let settings = ProviderSettings::new("ollama").with_model("llama3.2");
//! assert_eq!(LlmConfig::new(settings.clone())?, LlmConfig::new(settings)?);
//! # Ok::<(), graphbit::Error>(())
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{Connection, check_key};
use crate::error::{Error, Result};
use crate::http::names_credential;
use crate::secret::ApiKey;

/// Everything a configuration is made from.
#[derive(Clone, PartialEq)]
pub struct ProviderSettings {
    /// The provider's name.
    pub provider: Cow<'static, str>,
    /// Its key, where it takes one.
    pub key: Option<ApiKey>,
    /// The model's or deployment's name; unset is the provider's default.
    pub model: Option<String>,
    /// Further arguments, by the names in the provider's table.
    pub options: BTreeMap<String, String>,
    /// Address, time limit, headers, proxy.
    pub connection: Connection,
}

/// What both tables of providers say of one, as far as every configuration is checked for it.
pub(super) struct Rules<'a> {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) shortest_key: usize,
    pub(super) default_model: &'static str,
    pub(super) knows: &'a dyn Fn(&str) -> bool,
}

impl ProviderSettings {
    /// Settings that say nothing but the provider.
    #[must_use]
    pub fn new(provider: impl Into<Cow<'static, str>>) -> Self {
        Self {
            provider: provider.into(),
            key: None,
            model: None,
            options: BTreeMap::new(),
            connection: Connection::default(),
        }
    }

    /// The same with a key.
    #[must_use]
    pub fn with_key(self, key: ApiKey) -> Self {
        Self { key: Some(key), ..self }
    }

    /// The same with a model.
    #[must_use]
    pub fn with_model(self, model: impl Into<String>) -> Self {
        Self { model: Some(model.into()), ..self }
    }

    /// The same with a connection.
    #[must_use]
    pub fn with_connection(self, connection: Connection) -> Self {
        Self { connection, ..self }
    }

    /// The same with an option, if there is a value.
    #[must_use]
    pub fn with_option(mut self, name: &str, value: Option<impl ToString>) -> Self {
        self.options.extend(value.map(|value| (name.to_owned(), value.to_string())));
        self
    }

    /// The value of an option.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// Everything of them that changes an answer, in one line: who is asked, where, for which model, with
    /// which options and headers. Credentials are left out, so that a new key finds the old answers.
    #[must_use]
    pub fn identity(&self) -> String {
        let headers = self.connection.headers.iter();
        let headers: Vec<_> = headers.filter(|(name, _)| !names_credential(name)).collect();
        let Self { provider, model, options, .. } = self;
        serde_json::json!([provider, model, self.connection.base_url, options, headers]).to_string()
    }

    pub(super) fn model(&self) -> &str {
        self.model.as_deref().unwrap_or_default()
    }

    /// Checks key and options, and fills in the model.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] when the key is missing or too short; [`crate::Kind::Configuration`] for
    /// an option there is none of.
    pub(super) fn complete(&mut self, rules: &Rules<'_>) -> Result<()> {
        let empty = ApiKey::default();
        check_key(rules.label, rules.shortest_key, self.key.as_ref().unwrap_or(&empty))?;
        if let Some(option) = self.options.keys().find(|option| !(rules.knows)(option)) {
            let text = format!("{} has no option '{option}'", rules.name);
            return Err(Error::configuration(text));
        }
        self.model.get_or_insert_with(|| rules.default_model.to_owned());
        Ok(())
    }
}

/// The provider of this name among all there are; `what` is what they provide.
pub(super) fn named<T>(
    name: &str,
    what: &str,
    providers: &'static [&'static T],
    name_of: impl Fn(&T) -> &'static str,
) -> Result<&'static T> {
    providers.iter().copied().find(|provider| name_of(provider) == name).ok_or_else(|| {
        let known: Vec<&str> = providers.iter().map(|provider| name_of(provider)).collect();
        let text = format!("there is no {what} '{name}'; there are {}", known.join(", "));
        Error::configuration(text)
    })
}
