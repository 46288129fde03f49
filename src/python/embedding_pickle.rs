//! What of a configuration goes into a pickle: the keywords of the constructor that makes it again.
//!
//! It refuses to write down a secret that nobody asked to have written down. A key is left out, because
//! the environment of the other process holds it; what that process could not find again is an error.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use url::Url;

use crate::error::{Error, Kind};
use crate::http::names_credential;
use crate::providers::embeddings::{EmbeddingSettings, PROVIDERS};

/// The keywords that make these settings again. Beside them `constructor` names the constructor,
/// `portable` says that secrets are among them, and `key_variables` where else to look for the key.
pub(super) fn keywords<'py>(
    py: Python<'py>,
    settings: &EmbeddingSettings,
    portable: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let keywords = PyDict::new(py);
    keywords.set_item("constructor", &*settings.provider)?;
    keywords.set_item("model", settings.model.as_deref())?;
    let key = settings.key.as_ref().filter(|key| !key.is_empty());
    if portable {
        keywords.set_item("portable", true)?;
        if let Some(key) = key {
            keywords.set_item("api_key", key.expose())?;
        }
    } else {
        refuse_secrets(settings)?;
        if key.is_some() {
            keywords.set_item("key_variables", key_variables(settings)?)?;
        }
    }
    for (name, value) in &settings.options {
        match name.as_str() {
            "dimensions" => keywords.set_item(name, value.parse::<usize>()?)?,
            "truncate" => keywords.set_item(name, value == "true")?,
            "deployment" => keywords.set_item("deployment_name", value)?,
            _ => keywords.set_item(name, value)?,
        }
    }
    let connection = &settings.connection;
    let address = if settings.provider == "azure" { "endpoint" } else { "base_url" };
    if let Some(url) = &connection.base_url {
        keywords.set_item(address, url)?;
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

fn key_variables(settings: &EmbeddingSettings) -> PyResult<&'static [&'static str]> {
    let provider = PROVIDERS.iter().find(|provider| provider.name == settings.provider);
    let variables = provider.map_or(&[][..], |provider| provider.key_variables);
    if variables.is_empty() {
        return Err(secret(&format!("the key of {}", settings.provider)));
    }
    Ok(variables)
}

fn refuse_secrets(settings: &EmbeddingSettings) -> PyResult<()> {
    let connection = &settings.connection;
    let has_password = |url: &str| Url::parse(url).is_ok_and(|url| url.password().is_some());
    if let Some((name, _)) = connection.headers.iter().find(|(name, _)| names_credential(name)) {
        return Err(secret(&format!("the header '{name}'")));
    }
    for (field, url) in [("http_proxy", &connection.proxy), ("base_url", &connection.base_url)] {
        if url.as_deref().is_some_and(has_password) {
            return Err(secret(&format!("the password in {field}")));
        }
    }
    Ok(())
}

fn secret(what: &str) -> PyErr {
    let text = format!(
        "Configuration error: {what} would not be found again where the pickle is read; \
         pickle config.with_portable_key() to write it down"
    );
    Error::new(Kind::Configuration, text).into()
}
