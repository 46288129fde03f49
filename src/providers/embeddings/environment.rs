//! Settings from the environment: the only place where its keys and addresses are read.

use super::config::provider;
use super::{EmbeddingProvider, EmbeddingSettings, PROVIDERS};
use crate::error::{Error, Result};
use crate::secret::ApiKey;

impl EmbeddingSettings {
    /// Settings with the key, and the address if one is set, that the environment holds for a provider:
    /// the one named, else the first whose variables are set.
    ///
    /// # Errors
    /// [`crate::Kind::Configuration`] naming the variables to set, or for a provider there is none of.
    pub fn from_environment(name: Option<&str>) -> Result<Self> {
        Self::from_variables(name, |variable| std::env::var(variable).ok())
    }

    fn from_variables(
        name: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let Some(name) = name else {
            let found = PROVIDERS.into_iter().find(|provider| is_set(provider, &variable));
            return found.map(|provider| read(provider, &variable)).ok_or_else(nothing_set);
        };
        let provider = provider(name)?;
        let missing = missing(provider, &variable);
        if !missing.is_empty() {
            let text = format!("set {} to use {name}", missing.join(" and "));
            return Err(Error::configuration(text));
        }
        if provider.base_url.is_empty() && provider.url_variable.is_none() {
            let text = format!("no variable of the environment says where {name} is");
            return Err(Error::configuration(text));
        }
        Ok(read(provider, &variable))
    }
}

/// The variables a provider cannot do without and that are not set.
fn missing(
    provider: &EmbeddingProvider,
    variable: &impl Fn(&str) -> Option<String>,
) -> Vec<&'static str> {
    let key = provider.key_variables.first().filter(|_| {
        provider.shortest_key > 0 && !provider.key_variables.iter().any(|it| variable(it).is_some())
    });
    let needs_url = provider.base_url.is_empty() && provider.shortest_key > 0;
    let url = provider.url_variable.filter(|it| needs_url && variable(it).is_none());
    key.copied().into_iter().chain(url).collect()
}

/// Whether the environment asks for this provider.
fn is_set(provider: &EmbeddingProvider, variable: &impl Fn(&str) -> Option<String>) -> bool {
    let url = provider.url_variable.is_some_and(|name| variable(name).is_some());
    missing(provider, variable).is_empty() && (provider.shortest_key > 0 || url)
}

fn read(
    provider: &'static EmbeddingProvider,
    variable: &impl Fn(&str) -> Option<String>,
) -> EmbeddingSettings {
    let mut settings = EmbeddingSettings::new(provider.name);
    settings.key = provider.key_variables.iter().find_map(|name| variable(name)).map(ApiKey::new);
    settings.connection.base_url = provider.url_variable.and_then(variable);
    settings
}

fn nothing_set() -> Error {
    let variable = |provider: &&EmbeddingProvider| {
        provider.key_variables.first().copied().or(provider.url_variable)
    };
    let names: Vec<&str> = PROVIDERS.iter().filter_map(variable).collect();
    let text = format!("no embedding provider is configured: set one of {}", names.join(", "));
    Error::configuration(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn settings(name: Option<&str>, set: &[(&str, &str)]) -> Result<EmbeddingSettings> {
        let value = |variable: &str| {
            let found = set.iter().find(|(name, _)| *name == variable);
            found.map(|(_, value)| (*value).to_owned())
        };
        EmbeddingSettings::from_variables(name, value)
    }

    #[test]
    fn the_named_provider_is_read_or_says_what_it_needs() {
        let found = settings(Some("cohere"), &[("CO_API_KEY", "k"), ("CO_API_URL", "u")]).unwrap();
        assert_eq!(found.key.unwrap().expose(), "k");
        assert_eq!(found.connection.base_url.as_deref(), Some("u"));
        let need = |name, set: &[_]| settings(Some(name), set).err().unwrap();
        let error = need("voyage", &[("VOYAGE_API_KEY", " ")]);
        assert_eq!(error.kind(), Kind::Configuration);
        assert!(error.message().contains("set VOYAGE_API_KEY to use voyage"), "{error}");
        let error = need("azure", &[]);
        assert!(error.message().contains("AZURE_OPENAI_API_KEY and AZURE_OPENAI_ENDPOINT"));
        assert!(need("skynet", &[]).message().contains("there is no embedding provider"));
        assert!(need("openai_compatible", &[]).message().contains("no variable"));
        assert!(settings(Some("ollama"), &[]).is_ok());
    }

    #[test]
    fn the_first_provider_with_its_variables_is_taken() {
        let first = |set: &[_]| settings(None, set).map(|settings| settings.provider.into_owned());
        let both = [("JINA_API_KEY", "j"), ("MISTRAL_API_KEY", "m")];
        assert_eq!(first(&both).unwrap(), "mistral");
        // A key alone does not say where the resource is.
        let azure = [("AZURE_OPENAI_API_KEY", "a"), ("OLLAMA_HOST", "box")];
        assert_eq!(first(&azure).unwrap(), "ollama");
        let error = first(&[]).unwrap_err();
        assert!(error.message().contains("OPENAI_API_KEY") && error.message().contains("OLLAMA"));
    }
}
