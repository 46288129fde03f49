//! What of a configuration goes into a pickle: the keywords of the constructor that makes it again.
//!
//! It refuses to write down a secret that nobody asked to have written down. A key is left out, because
//! the environment of the other process holds it; what that process could not find again is an error.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::{Error, Kind};
use crate::http::names_credential;
use crate::providers::embeddings::{self, EmbeddingSettings};
use crate::providers::{self, Connection, LlmSettings};
use crate::secret::ApiKey;

/// The parts that settings of both kinds have.
struct Parts<'a> {
    provider: &'a str,
    constructor: &'a str,
    key: Option<&'a ApiKey>,
    key_variables: &'static [&'static str],
    model: (&'static str, Option<&'a str>),
    options: &'a BTreeMap<String, String>,
    address: &'static str,
    connection: &'a Connection,
}

/// The keywords that make these settings again. Beside them `constructor` names the constructor,
/// `portable` says that secrets are among them, and `key_variables` where else to look for the key.
pub(super) fn embedding_keywords<'py>(
    py: Python<'py>,
    settings: &EmbeddingSettings,
    portable: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let known = embeddings::PROVIDERS.iter();
    let provider = known.copied().find(|provider| provider.name == settings.provider);
    let parts = Parts {
        provider: &settings.provider,
        constructor: &settings.provider,
        key: settings.key.as_ref(),
        key_variables: provider.map_or(&[], |provider| provider.key_variables),
        model: ("model", settings.model.as_deref()),
        options: &settings.options,
        address: if settings.provider == "azure" { "endpoint" } else { "base_url" },
        connection: &settings.connection,
    };
    parts.keywords(py, portable)
}

/// The same for a language model.
pub(super) fn llm_keywords<'py>(
    py: Python<'py>,
    settings: &LlmSettings,
    portable: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let known = providers::PROVIDERS.iter();
    let provider = known.copied().find(|provider| provider.name == settings.provider);
    let azure = settings.provider == "azurellm";
    let with_site = settings.provider == "openrouter" && !settings.options.is_empty();
    let parts = Parts {
        provider: &settings.provider,
        constructor: if with_site { "openrouter_with_site" } else { &settings.provider },
        key: settings.key.as_ref(),
        key_variables: provider.map_or(&[], |provider| provider.key_variables),
        model: (if azure { "deployment_name" } else { "model" }, settings.model.as_deref()),
        options: &settings.options,
        address: if azure { "endpoint" } else { "base_url" },
        connection: &settings.connection,
    };
    parts.keywords(py, portable)
}

impl Parts<'_> {
    fn keywords<'py>(&self, py: Python<'py>, portable: bool) -> PyResult<Bound<'py, PyDict>> {
        let keywords = PyDict::new(py);
        // The constructors have no such keyword, as Replicate has `version`.
        keywords.set_item("format", 1)?;
        keywords.set_item("constructor", self.constructor)?;
        keywords.set_item(self.model.0, self.model.1)?;
        let key = self.key.filter(|key| !key.is_empty());
        if portable {
            keywords.set_item("portable", true)?;
            if let Some(key) = key {
                keywords.set_item("api_key", key.expose())?;
            }
        } else {
            self.refuse_secrets()?;
            if key.is_some() {
                keywords.set_item("key_variables", self.findable_key()?)?;
            }
        }
        for (name, value) in self.options {
            match name.as_str() {
                "dimensions" => keywords.set_item(name, value.parse::<usize>()?)?,
                "truncate" => keywords.set_item(name, value == "true")?,
                "deployment" => keywords.set_item("deployment_name", value)?,
                _ => keywords.set_item(name, value)?,
            }
        }
        let connection = self.connection;
        if let Some(url) = &connection.base_url {
            keywords.set_item(self.address, url)?;
        }
        if let Some(timeout) = connection.timeout {
            keywords.set_item("timeout", timeout.as_secs_f64())?;
        }
        if !connection.headers.is_empty() {
            let headers = PyDict::new(py);
            for (name, value) in &connection.headers {
                headers.set_item(name, value)?;
            }
            keywords.set_item("headers", headers)?;
        }
        if let Some(proxy) = &connection.proxy {
            keywords.set_item("http_proxy", proxy)?;
        }
        Ok(keywords)
    }

    fn findable_key(&self) -> PyResult<&'static [&'static str]> {
        match self.key_variables {
            [] => Err(secret(&format!("the key of {}", self.provider))),
            variables => Ok(variables),
        }
    }

    fn refuse_secrets(&self) -> PyResult<()> {
        let connection = self.connection;
        let header = connection.headers.iter().find(|(name, _)| names_credential(name));
        if let Some((name, _)) = header {
            return Err(secret(&format!("the header '{name}'")));
        }
        // Somebody mixed up name and value; the first request says so.
        if connection.headers.iter().any(|(name, _)| !name.bytes().all(|it| it.is_ascii_graphic()))
        {
            return Err(secret("a header whose name is none"));
        }
        for (field, url) in
            [("http_proxy", &connection.proxy), (self.address, &connection.base_url)]
        {
            if url.as_deref().is_some_and(names_user) {
                return Err(secret(&format!("the password in {field}")));
            }
        }
        Ok(())
    }
}

/// Whether an address, in whatever form, says who asks. A user without a password is a token as a rule.
fn names_user(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

fn secret(what: &str) -> PyErr {
    let text = format!(
        "Configuration error: {what} would not be found again where the pickle is read; \
         pickle config.with_portable_key() to write it down"
    );
    Error::new(Kind::Configuration, text).into()
}
