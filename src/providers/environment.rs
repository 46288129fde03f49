//! What the environment says about providers: the only place where keys and addresses are read from it.
//!
//! Constructors never come here; a program that wants the environment says so. A value of blanks counts
//! as unset, and blanks around a key, such as the line break of a file, are no part of it.

use super::compatible::COMPATIBLE;
use super::config::provider;
use super::openai::OPENAI;
use super::{PROVIDERS, Provider, ProviderSettings, check_key};
use crate::error::{Error, Result};
use crate::secret::ApiKey;

/// Names the provider for [`from_environment`] where the program does not.
const PROVIDER_VARIABLE: &str = "GRAPHBIT_PROVIDER";
/// Names the model of that provider, or of whichever is found where no provider is named.
const MODEL_VARIABLE: &str = "GRAPHBIT_MODEL";
/// Further arguments that a provider's own tools take from the environment. Of two for the same the
/// later counts.
const FURTHER: [(&str, &str, &str); 6] = [
    ("openai", "model", "OPENAI_MODEL"),
    ("openai_compatible", "model", "OPENAI_MODEL"),
    ("ollama", "model", "OLLAMA_MODEL"),
    ("azurellm", "model", "AZURE_OPENAI_DEPLOYMENT"),
    ("azurellm", "api_version", "AZURE_OPENAI_API_VERSION"),
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
    fn missing(&self, variable: &impl Fn(&str) -> Option<String>) -> Vec<String> {
        let set = |name: &&str| variable(name).is_some();
        let lacks_key = self.needs_key && !self.key_variables.iter().any(&set);
        let key = lacks_key.then(|| self.key_variables.join(" or "));
        let url = self.url_variable.filter(|name| self.needs_url && !set(name));
        key.into_iter().chain(url.map(str::to_owned)).collect()
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
        if let Some(place) = found {
            return Ok(place.read(variable));
        }
        let has_key = |place: &&Self| place.key_variables.iter().any(|key| variable(key).is_some());
        if let Some(begun) = places.iter().find(has_key) {
            let text =
                format!("set {} to use {}", begun.missing(variable).join(" and "), begun.name);
            return Err(Error::configuration(text));
        }
        let names = |place: &'_ Self| {
            let url = place.url_variable.filter(|_| !place.needs_key);
            let keys = place.key_variables.iter().copied().filter(|_| place.needs_key);
            keys.chain(url).collect::<Vec<_>>()
        };
        let names: Vec<&str> = places.iter().flat_map(names).collect();
        let text = format!("no {what} is configured: set one of {}", names.join(", "));
        Err(Error::configuration(text))
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
        // The table of a compatible server has none, lest a key of OpenAI's follow a pickle to any address.
        let place = if provider.name == COMPATIBLE.name { &OPENAI } else { provider };
        Self {
            name: provider.name,
            needs_key: provider.shortest_key > 0,
            // Ollama has an address of its own when none is given.
            needs_url: provider.base_url.is_empty() && provider.default_model.is_empty(),
            key_variables: place.key_variables,
            url_variable: place.url_variable,
        }
    }
}

/// Settings with the key, and the address if one is set, that the environment holds for a provider:
/// the one named, else the one `GRAPHBIT_PROVIDER` names, else the first whose key is set, else
/// Ollama when `OLLAMA_HOST` is set, else the compatible server at `OPENAI_BASE_URL`.
///
/// The model is the one named, else what the provider's own variable says, else `GRAPHBIT_MODEL`,
/// unless `GRAPHBIT_PROVIDER` says that it is meant for another provider.
///
/// # Errors
/// [`crate::Kind::Configuration`] naming the variables to set, or the one whose key cannot be right;
/// or for a provider there is none of.
pub fn from_environment(name: Option<&str>, model: Option<&str>) -> Result<ProviderSettings> {
    from_variables(name, model, |variable| std::env::var(variable).ok())
}

fn from_variables(
    name: Option<&str>,
    model: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<ProviderSettings> {
    let variable = trimmed(variable);
    let ordered = variable(PROVIDER_VARIABLE);
    let chosen = name.map(str::to_owned).or_else(|| ordered.clone());
    if let Some(name) = &chosen {
        provider(name)?;
    }
    let places: Vec<Place> = PROVIDERS.into_iter().map(Place::from).collect();
    let found = Place::search(&places, chosen.as_deref(), "provider", &variable)?;
    let provider = provider(found.name)?;
    if let Some(key) = &found.key {
        check_key(provider.label, provider.shortest_key, key).map_err(|problem| {
            let set = provider.key_variables.iter().find(|name| variable(name).is_some());
            let name = set.copied().unwrap_or("the key");
            Error::configuration(format_args!("{name} is unusable: {problem}"))
        })?;
    }
    let mut settings = ProviderSettings::new(found.name);
    settings.key = found.key;
    settings.connection.base_url = found.base_url;
    let general = ordered.is_none_or(|ordered| ordered == found.name);
    settings.model = variable(MODEL_VARIABLE).filter(|_| general);
    for (_, argument, name) in FURTHER.iter().filter(|(owner, ..)| *owner == found.name) {
        let Some(value) = variable(name) else { continue };
        if *argument == "model" {
            settings.model = Some(value);
        } else {
            settings.options.insert((*argument).to_owned(), value);
        }
    }
    settings.model = model.map(str::to_owned).or(settings.model);
    if settings.model.is_none() && provider.default_model.is_empty() {
        let own = FURTHER
            .iter()
            .find(|(owner, argument, _)| (*owner, *argument) == (found.name, "model"));
        let own = own.map(|(.., name)| format!("{name} or ")).unwrap_or_default();
        let text = format!("name a model, or set {own}{MODEL_VARIABLE}, to use {}", found.name);
        return Err(Error::configuration(text));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn settings(name: Option<&str>, set: &[(&str, &str)]) -> Result<ProviderSettings> {
        from_variables(name, None, |variable| {
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
                set.push(("GRAPHBIT_MODEL", "m"));
                let found = settings(name, &set).unwrap();
                assert_eq!(found.key.unwrap().expose(), "key-0123456789-0123456789");
                assert_eq!(found.connection.base_url.is_some(), provider.url_variable.is_some());
            }
            let error = settings(name, &[]).err().unwrap();
            assert_eq!(error.kind(), Kind::Configuration);
            for variable in provider.key_variables {
                assert!(error.message().contains(variable), "{error}");
                let error = settings(name, &[(variable, "k"), ("AZURE_OPENAI_ENDPOINT", "u")]);
                let message = error.err().unwrap().to_string();
                assert!(message.contains(&format!("{variable} is unusable: ")), "{message}");
            }
        }
    }

    #[test]
    fn without_a_name_the_first_key_decides_and_an_address_may() {
        let first = |set: &[_]| settings(None, set).map(|found| found.provider.into_owned());
        let both = [("XAI_API_KEY", "xai-0123"), ("MISTRAL_API_KEY", "mistral-0123")];
        assert_eq!(first(&both).unwrap(), "mistralai");
        let chosen = [both[0], both[1], ("GRAPHBIT_PROVIDER", "xai")];
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
        let error = settings(None, &set[..1]).err().unwrap();
        assert!(error.message().contains("set AZURE_OPENAI_ENDPOINT to use azurellm"), "{error}");
        let error = settings(None, &set[..2]).err().unwrap();
        assert!(error.message().contains("AZURE_OPENAI_DEPLOYMENT or GRAPHBIT_MODEL"), "{error}");
        let key = ("OPENAI_API_KEY", "key-0123456789-0123456789");
        let mut openai = vec![key, ("GRAPHBIT_MODEL", "gpt-9")];
        assert_eq!(settings(None, &openai).unwrap().model.as_deref(), Some("gpt-9"));
        // It is meant for another provider.
        openai.push(("GRAPHBIT_PROVIDER", "ollama"));
        assert_eq!(settings(Some("openai"), &openai).unwrap().model, None);
        assert_eq!(settings(None, &openai).unwrap().model.as_deref(), Some("gpt-9"));
    }

    #[test]
    fn an_address_without_a_key_is_a_compatible_server() {
        let (url, model) = (("OPENAI_BASE_URL", " http://host/v1\n"), ("OPENAI_MODEL", "qwen"));
        let found = settings(None, &[url, model]).unwrap();
        assert_eq!((&*found.provider, found.model()), ("openai_compatible", "qwen"));
        assert_eq!(found.connection.base_url.as_deref(), Some("http://host/v1"));
        assert!(found.key.is_none());
        let error = settings(None, &[url]).err().unwrap();
        assert!(error.message().contains("OPENAI_MODEL or GRAPHBIT_MODEL"), "{error}");
        let named = Some("openai_compatible");
        let error = settings(named, &[model]).err().unwrap();
        assert!(error.message().contains("set OPENAI_BASE_URL"), "{error}");
        let key = ("OPENAI_API_KEY", "any");
        assert!(settings(named, &[url, model, key]).unwrap().key.is_some());
    }
}
