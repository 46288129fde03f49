//! What the environment says about providers: the only place where keys and addresses are read from it.
//!
//! Constructors never come here; a program that wants the environment says so. A value of blanks counts
//! as unset, and blanks around a key, such as the line break of a file, are no part of it.

use super::config::provider;
use super::{LlmSettings, PROVIDERS, Provider};
use crate::error::{Error, Result};
use crate::secret::ApiKey;

/// Names the provider for [`LlmSettings::from_environment`] where the program does not.
const PROVIDER_VARIABLE: &str = "GRAPHBIT_PROVIDER";
/// Names the model, whichever the provider.
const MODEL_VARIABLE: &str = "GRAPHBIT_MODEL";
/// Further arguments that a provider's own tools take from the environment.
const FURTHER: [(&str, &str, &str); 4] = [
    ("openai", "model", "OPENAI_MODEL"),
    ("ollama", "model", "OLLAMA_MODEL"),
    ("azurellm", "model", "AZURE_OPENAI_DEPLOYMENT"),
    ("azurellm", "api_version", "OPENAI_API_VERSION"),
];

/// Where the environment may speak of one provider.
pub(super) struct Place {
    pub(super) name: &'static str,
    /// Without a key it cannot be used.
    pub(super) needs_key: bool,
    /// Without an address it cannot be used.
    pub(super) needs_url: bool,
    pub(super) key_variables: &'static [&'static str],
    pub(super) url_variable: Option<&'static str>,
}

/// What it says.
pub(super) struct Found {
    pub(super) name: &'static str,
    pub(super) key: Option<ApiKey>,
    pub(super) base_url: Option<String>,
}

impl Place {
    /// The variables it cannot do without and that are not set.
    fn missing(&self, variable: &impl Fn(&str) -> Option<String>) -> Vec<&'static str> {
        let set = |name: &&str| variable(name).is_some();
        let key = self.key_variables.first();
        let key = key.filter(|_| self.needs_key && !self.key_variables.iter().any(&set));
        let url = self.url_variable.filter(|name| self.needs_url && !set(name));
        key.copied().into_iter().chain(url).collect()
    }

    /// Whether the environment asks for it.
    fn is_set(&self, variable: &impl Fn(&str) -> Option<String>) -> bool {
        let url = self.url_variable.is_some_and(|name| variable(name).is_some());
        self.missing(variable).is_empty() && (self.needs_key || url)
    }

    fn read(&self, variable: &impl Fn(&str) -> Option<String>) -> Found {
        let key = self.key_variables.iter().find_map(|name| variable(name));
        Found {
            name: self.name,
            key: key.map(ApiKey::new),
            base_url: self.url_variable.and_then(variable),
        }
    }

    /// Finds the place of this name, or the first that is set. `what` is what they are places of.
    ///
    /// # Errors
    /// [`crate::Kind::Configuration`] naming the variables to set.
    pub(super) fn search(
        places: &[Self],
        name: Option<&str>,
        what: &str,
        variable: &impl Fn(&str) -> Option<String>,
    ) -> Result<Found> {
        if let Some(place) = places.iter().find(|place| Some(place.name) == name) {
            let missing = place.missing(variable);
            if !missing.is_empty() {
                let text = format!("set {} to use {}", missing.join(" and "), place.name);
                return Err(Error::configuration(text));
            }
            if place.needs_url && place.url_variable.is_none() {
                let text = format!("no variable of the environment says where {} is", place.name);
                return Err(Error::configuration(text));
            }
            return Ok(place.read(variable));
        }
        let found = places.iter().find(|place| name.is_none() && place.is_set(variable));
        found.map(|place| place.read(variable)).ok_or_else(|| {
            let names = |place: &Self| place.key_variables.first().copied().or(place.url_variable);
            let names: Vec<&str> = places.iter().filter_map(names).collect();
            let text = format!("no {what} is configured: set one of {}", names.join(", "));
            Error::configuration(text)
        })
    }
}

/// The value of a variable, without blanks around it; `None` when nothing is left.
pub(super) fn trimmed(
    variable: impl Fn(&str) -> Option<String>,
) -> impl Fn(&str) -> Option<String> {
    move |name| {
        let value = variable(name)?;
        Some(value.trim()).filter(|value| !value.is_empty()).map(str::to_owned)
    }
}

impl From<&'static Provider> for Place {
    fn from(provider: &'static Provider) -> Self {
        Self {
            name: provider.name,
            needs_key: provider.shortest_key > 0,
            // Ollama has an address of its own when none is given.
            needs_url: provider.base_url.is_empty() && provider.default_model.is_empty(),
            key_variables: provider.key_variables,
            url_variable: provider.url_variable,
        }
    }
}

impl LlmSettings {
    /// Settings with the key, and the address if one is set, that the environment holds for a provider:
    /// the one named, else the one `GRAPHBIT_PROVIDER` names, else the first whose key is set, else
    /// Ollama when `OLLAMA_HOST` is set. `GRAPHBIT_MODEL` names the model, where the provider has no
    /// variable of its own for it.
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
        let variable = trimmed(variable);
        let chosen = name.map(str::to_owned).or_else(|| variable(PROVIDER_VARIABLE));
        if let Some(name) = &chosen {
            provider(name)?;
        }
        let places: Vec<Place> = PROVIDERS.into_iter().map(Place::from).collect();
        let found = Place::search(&places, chosen.as_deref(), "provider", &variable)?;
        let mut settings = Self::new(found.name);
        settings.key = found.key;
        settings.connection.base_url = found.base_url;
        settings.model = variable(MODEL_VARIABLE);
        for (_, argument, name) in FURTHER.iter().filter(|(owner, ..)| *owner == found.name) {
            let Some(value) = variable(name) else { continue };
            if *argument == "model" {
                settings.model = Some(value);
            } else {
                settings.options.insert((*argument).to_owned(), value);
            }
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn settings(name: Option<&str>, set: &[(&str, &str)]) -> Result<LlmSettings> {
        LlmSettings::from_variables(name, |variable| {
            let found = set.iter().find(|(name, _)| *name == variable);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn every_provider_with_a_key_is_found_by_each_of_its_variables() {
        for provider in PROVIDERS.iter().filter(|provider| provider.shortest_key > 0) {
            let name = Some(provider.name);
            for variable in provider.key_variables {
                let mut set = vec![(*variable, " key-0123456789-0123456789\n")];
                set.extend(provider.url_variable.map(|name| (name, "https://host/v9")));
                let found = settings(name, &set).unwrap();
                assert_eq!(found.key.unwrap().expose(), "key-0123456789-0123456789");
                assert_eq!(found.connection.base_url.is_some(), provider.url_variable.is_some());
            }
            let error = settings(name, &[]).err().unwrap();
            assert_eq!(error.kind(), Kind::Configuration);
            assert!(error.message().contains(provider.key_variables[0]), "{error}");
        }
    }

    #[test]
    fn without_a_name_the_first_key_decides_and_an_address_may() {
        let first = |set: &[_]| settings(None, set).map(|found| found.provider.into_owned());
        let both = [("XAI_API_KEY", "x"), ("MISTRAL_API_KEY", "m")];
        assert_eq!(first(&both).unwrap(), "mistralai");
        let chosen = [("XAI_API_KEY", "x"), ("MISTRAL_API_KEY", "m"), ("GRAPHBIT_PROVIDER", "xai")];
        assert_eq!(first(&chosen).unwrap(), "xai");
        assert_eq!(first(&[("OLLAMA_HOST", "box")]).unwrap(), "ollama");
        // A key alone does not say where the resource is.
        let azure = [("AZURE_OPENAI_API_KEY", "a"), ("OLLAMA_HOST", "box")];
        assert_eq!(first(&azure).unwrap(), "ollama");
        let error = first(&[("OPENAI_API_KEY", " ")]).unwrap_err();
        assert!(error.message().contains("OPENAI_API_KEY") && error.message().contains("XAI"));
        assert!(settings(Some("skynet"), &[]).err().unwrap().message().contains("no provider"));
    }

    #[test]
    fn model_and_version_may_be_named_too() {
        let set = [
            ("AZURE_OPENAI_API_KEY", "key-0123"),
            ("AZURE_OPENAI_ENDPOINT", "https://host"),
            ("AZURE_OPENAI_DEPLOYMENT", "prod"),
            ("OPENAI_API_VERSION", "2025-01-01"),
        ];
        let azure = settings(None, &set).unwrap();
        assert_eq!(azure.model.as_deref(), Some("prod"));
        assert_eq!(azure.options["api_version"], "2025-01-01");
        let openai = [("OPENAI_API_KEY", "key"), ("GRAPHBIT_MODEL", "gpt-9")];
        assert_eq!(settings(None, &openai).unwrap().model.as_deref(), Some("gpt-9"));
    }
}
