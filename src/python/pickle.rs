//! What of a configuration goes into a pickle: the keywords of the constructor that makes it again.
//!
//! It refuses to write down a secret that nobody asked to have written down. A key is left out, because
//! the environment of the other process holds it; what that process could not find again is an error.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::given::import;
use crate::error::{Error, Kind};
use crate::http::names_credential;
use crate::providers::{self, ProviderSettings, embeddings};

/// Where a configuration comes from, beside the settings that it may have.
pub(super) struct Origin {
    /// How a model that is no provider's is made again: a constructor's name and its keywords, which
    /// also tell such configurations apart.
    call: Option<(&'static str, Py<PyDict>)>,
    /// Whether pickles carry the key.
    portable: bool,
}

impl Origin {
    /// Settings, or a model that cannot be made again.
    pub(super) fn plain() -> Self {
        Self { call: None, portable: false }
    }

    /// A call of `constructor` with `keywords`.
    pub(super) fn call(constructor: &'static str, keywords: Bound<'_, PyDict>) -> Self {
        Self { call: Some((constructor, keywords.unbind())), portable: false }
    }

    /// The same, with pickles that carry the key.
    pub(super) fn portable(&self, py: Python<'_>) -> Self {
        let call = self.call.as_ref().map(|(name, keywords)| (*name, keywords.clone_ref(py)));
        Self { call, portable: true }
    }

    /// Whether both were made by the same call; `None` when not both were made by one.
    pub(super) fn same_call(&self, py: Python<'_>, other: &Self) -> PyResult<Option<bool>> {
        let (Some((one, mine)), Some((two, theirs))) = (&self.call, &other.call) else {
            return Ok(None);
        };
        Ok(Some(one == two && mine.bind(py).eq(theirs.bind(py))?))
    }

    /// What `__reduce__` returns: `graphbit._pickling.<function>` and its argument. `described` names the
    /// configuration where it cannot be pickled.
    pub(super) fn reduce<'py>(
        &self,
        py: Python<'py>,
        function: &str,
        described: &str,
        settings: Option<(&ProviderSettings, Names)>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let keywords = match (&self.call, settings) {
            (Some((constructor, keywords)), _) => {
                let keywords = keywords.bind(py).copy()?;
                keywords.set_item("constructor", constructor)?;
                keywords
            }
            (None, Some((settings, names))) => {
                Parts { settings, names, portable: self.portable }.keywords(py)?
            }
            (None, None) => {
                return Err(PyTypeError::new_err(format!("cannot pickle {described}")));
            }
        };
        let restore = import(py, "graphbit._pickling")?.getattr(function)?;
        Ok((restore, PyTuple::new(py, [keywords])?))
    }
}

/// What the constructor for some settings calls things.
pub(super) struct Names {
    constructor: String,
    model: &'static str,
    address: &'static str,
    key_variables: &'static [&'static str],
}

impl Names {
    /// Of a constructor of `EmbeddingConfig`.
    pub(super) fn of_embeddings(settings: &ProviderSettings) -> Self {
        let known = embeddings::PROVIDERS.iter();
        let provider = known.copied().find(|provider| provider.name == settings.provider);
        Self {
            constructor: settings.provider.to_string(),
            model: "model",
            address: if settings.provider == "azure" { "endpoint" } else { "base_url" },
            key_variables: provider.map_or(&[], |provider| provider.key_variables),
        }
    }

    /// Of a constructor of `LlmConfig`.
    pub(super) fn of_llm(settings: &ProviderSettings) -> Self {
        let known = providers::PROVIDERS.iter();
        let provider = known.copied().find(|provider| provider.name == settings.provider);
        let azure = settings.provider == "azurellm";
        let with_site = settings.provider == "openrouter" && !settings.options.is_empty();
        let constructor =
            if with_site { "openrouter_with_site" } else { settings.provider.as_ref() };
        Self {
            constructor: constructor.to_owned(),
            model: if azure { "deployment_name" } else { "model" },
            address: if azure { "endpoint" } else { "base_url" },
            key_variables: provider.map_or(&[], |provider| provider.key_variables),
        }
    }
}

struct Parts<'a> {
    settings: &'a ProviderSettings,
    names: Names,
    portable: bool,
}

impl Parts<'_> {
    /// The keywords that make the settings again. Beside them `constructor` names the constructor,
    /// `portable` says that secrets are among them, and `key_variables` where else to look for the key.
    fn keywords<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (settings, names) = (self.settings, &self.names);
        let keywords = PyDict::new(py);
        // The constructors have no such keyword, as Replicate has `version`.
        keywords.set_item("format", 1)?;
        keywords.set_item("constructor", &names.constructor)?;
        keywords.set_item(names.model, settings.model.as_deref())?;
        let key = settings.key.as_ref().filter(|key| !key.is_empty());
        if self.portable {
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
        for (name, value) in &settings.options {
            match name.as_str() {
                "dimensions" => keywords.set_item(name, value.parse::<usize>()?)?,
                "truncate" => keywords.set_item(name, value == "true")?,
                "deployment" => keywords.set_item("deployment_name", value)?,
                _ => keywords.set_item(name, value)?,
            }
        }
        let connection = &self.settings.connection;
        if let Some(url) = &connection.base_url {
            keywords.set_item(names.address, url)?;
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
        match self.names.key_variables {
            [] => Err(secret(&format!("the key of {}", self.settings.provider))),
            variables => Ok(variables),
        }
    }

    fn refuse_secrets(&self) -> PyResult<()> {
        let connection = &self.settings.connection;
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
            [("http_proxy", &connection.proxy), (self.names.address, &connection.base_url)]
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
