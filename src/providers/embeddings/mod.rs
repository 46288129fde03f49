//! Embedding models over the network: one file a provider, data first.
//!
//! An [`EmbeddingProvider`] is constants and a few hooks: where it is, what it calls things, how much it
//! takes at once. One model type serves them all. Nothing but the settings themselves is checked before
//! the first request, so that a configuration can be made anywhere.
//!
//! ```
//! use graphbit::providers::Connection;
//! use graphbit::providers::embeddings::EmbeddingConfig;
//! use graphbit::secret::ApiKey;
//!
//! let key = ApiKey::new("sk-0123456789abcdef0123");
//! let config = EmbeddingConfig::openai(key, None, Connection::default())?;
//! assert_eq!((config.provider(), config.model_name()), ("openai", "text-embedding-3-small"));
//! # Ok::<(), graphbit::Error>(())
//! ```

pub mod azure;
pub mod cohere;
pub mod compatible;
mod config;
mod environment;
pub mod gemini;
pub mod jina;
pub mod mistral;
mod model;
pub mod ollama;
pub mod openai;
mod refusal;
pub mod voyage;

use std::time::Duration;

use bytes::Bytes;
pub use config::EmbeddingConfig;
pub use environment::from_environment;
pub use model::HttpEmbeddingModel;
use serde_json::Value;

use super::{Connection, ProviderSettings};
use crate::dialect::embeddings as wire;
use crate::error::{Error, Result};
use crate::http::Auth;
use crate::secret::ApiKey;
use crate::types::Embeddings;

/// One provider: what it is called, what its key must look like, what it sends and takes.
pub struct EmbeddingProvider {
    /// Its name in errors, and from `provider()`.
    pub name: &'static str,
    /// Its name in messages.
    pub label: &'static str,
    /// Fewest bytes of a key; 0 when it needs none.
    pub shortest_key: usize,
    /// Where it is, unless the connection's `base_url` says otherwise.
    pub base_url: &'static str,
    /// The model when none is named.
    pub default_model: &'static str,
    /// Environment variables that may hold its key, the usual one first.
    pub key_variables: &'static [&'static str],
    /// The environment variable that may hold its address.
    pub url_variable: Option<&'static str>,
    /// The names of its [`ProviderSettings::options`].
    pub options: &'static [&'static str],
    /// How vectors travel unless the settings say; `None` leaves it to the server.
    pub encoding: Option<Encoding>,
    /// The time limit of one request, unless the connection has one.
    pub timeout: Duration,
    /// The base address, without a trailing slash, from the connection's or else the one above.
    pub base: fn(&Connection, &str) -> String,
    /// The address of a request, given the base address.
    pub url: fn(&ProviderSettings, &str) -> String,
    /// How the key is sent.
    pub auth: fn(ApiKey) -> Auth,
    /// Whether the body names the model.
    pub sends_model: bool,
    /// The field that holds the texts, and whether one text alone may be a string.
    pub texts: (&'static str, bool),
    /// What a request says beside model and texts.
    pub fields: fn(&Asked<'_>) -> Fields,
    /// The whole body, where it is not a list of texts beside model and fields.
    pub encode: Option<Encode>,
    /// Reads an answer to so many texts; the last argument names the provider in messages.
    pub decode: fn(&[u8], usize, &str) -> Result<Embeddings>,
    /// The most a model takes in one request.
    pub limits: fn(model: &str) -> Limits,
    /// The tokens of a text, or an estimate that is seldom too low.
    pub tokens: fn(&str) -> usize,
    /// Adds to an error what only this provider's users need to know.
    pub advise: fn(model: &str, base: &str, Error) -> Error,
}

/// Makes a whole request body of settings and texts.
pub type Encode = fn(&ProviderSettings, &[String]) -> Result<Bytes>;

/// Every provider of embeddings reached over the network, in the order in which
/// [`from_environment`] looks for a key.
pub static PROVIDERS: [&EmbeddingProvider; 9] = [
    &openai::OPENAI,
    &azure::AZURE,
    &cohere::COHERE,
    &voyage::VOYAGE,
    &gemini::GEMINI,
    &mistral::MISTRAL,
    &jina::JINA,
    &ollama::OLLAMA,
    &compatible::COMPATIBLE,
];

/// What OpenAI does and most others imitate; each provider says where it differs.
const FAMILY: EmbeddingProvider = EmbeddingProvider {
    name: "",
    label: "",
    shortest_key: 8,
    base_url: "",
    default_model: "",
    key_variables: &[],
    url_variable: None,
    options: &["dimensions", "encoding_format"],
    encoding: Some(Encoding::Base64),
    timeout: Duration::from_secs(30),
    base: |connection, default| connection.base(default).to_owned(),
    url: |_, base| format!("{base}/embeddings"),
    auth: Auth::Bearer,
    sends_model: true,
    texts: ("input", true),
    fields: |asked| {
        Fields::new().encoding("encoding_format", asked).number("dimensions", asked.dimensions)
    },
    encode: None,
    decode: wire::decode,
    limits: |_| Limits { texts: 2048, tokens: None },
    // Seldom do two bytes make more than a token; where they do, the server says so and the request
    // is divided.
    tokens: |text| text.len().div_ceil(2),
    advise: |_, _, error| error,
};

/// How vectors travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As JSON numbers.
    Float,
    /// As base64 of 32-bit floats: less than half the bytes, a tenth of the time to read.
    Base64,
}

impl Encoding {
    /// The word for it in requests and settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Base64 => "base64",
        }
    }
}

/// The most a request may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Texts; at least 1.
    pub texts: usize,
    /// Tokens of all texts together; `None` without a limit.
    pub tokens: Option<usize>,
}

/// What the fields of a request are made from.
pub struct Asked<'a> {
    /// The settings, for options of the provider's own.
    pub settings: &'a ProviderSettings,
    /// Values a vector shall have.
    pub dimensions: Option<usize>,
    /// How vectors shall travel; `None` when the server has refused to be told.
    pub encoding: Option<Encoding>,
}

impl Asked<'_> {
    /// Whether texts beyond the model's limit are to be cut by the server. They are refused otherwise:
    /// a vector of half a text looks like any other.
    #[must_use]
    pub fn truncate(&self) -> bool {
        self.settings.option("truncate") == Some("true")
    }
}

/// Fields of a request body, in order.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    /// No fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds any value.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    /// Adds a text, if there is one.
    #[must_use]
    pub fn text(self, name: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a number, if there is one.
    #[must_use]
    pub fn number(self, name: &'static str, value: Option<usize>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds the word for the encoding, if one is asked for.
    #[must_use]
    pub fn encoding(self, name: &'static str, asked: &Asked<'_>) -> Self {
        self.text(name, asked.encoding.map(Encoding::as_str))
    }
}
