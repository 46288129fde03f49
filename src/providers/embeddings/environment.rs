//! Settings from the environment.

use super::config::provider;
use super::{EmbeddingProvider, PROVIDERS};
use crate::error::Result;
use crate::providers::ProviderSettings;
use crate::providers::environment::{Place, trimmed};

impl From<&'static EmbeddingProvider> for Place {
    fn from(provider: &'static EmbeddingProvider) -> Self {
        let needs_key = provider.shortest_key > 0;
        // Ollama has an address of its own when none is given.
        let needs_url = provider.base_url.is_empty() && provider.name != "ollama";
        Self {
            name: provider.name,
            needs_key,
            needs_url,
            key_variables: provider.key_variables,
            url_variable: provider.url_variable,
        }
    }
}

/// Settings with the key, and the address if one is set, that the environment holds for a provider:
/// the one named, else the first whose variables are set.
///
/// # Errors
/// [`crate::Kind::Configuration`] naming the variables to set, or for a provider there is none of.
pub fn from_environment(name: Option<&str>) -> Result<ProviderSettings> {
    from_variables(name, |variable| std::env::var(variable).ok())
}

fn from_variables(
    name: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<ProviderSettings> {
    if let Some(name) = name {
        provider(name)?;
    }
    let places: Vec<Place> = PROVIDERS.into_iter().map(Place::from).collect();
    let found = Place::search(&places, name, "embedding provider", &trimmed(variable))?;
    let mut settings = ProviderSettings::new(found.name);
    settings.key = found.key;
    settings.connection.base_url = found.base_url;
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn settings(name: Option<&str>, set: &[(&str, &str)]) -> Result<ProviderSettings> {
        let value = |variable: &str| {
            let found = set.iter().find(|(name, _)| *name == variable);
            found.map(|(_, value)| (*value).to_owned())
        };
        from_variables(name, value)
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
