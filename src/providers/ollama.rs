//! Ollama: `POST {base}/api/chat`, no key, no implicit download.
//!
//! The address is `base_url`, else `OLLAMA_HOST` in any of the forms Ollama's own tools take, else
//! localhost. A model that is not there is an error that says how to get it; it refuses to start a
//! download of gigabytes because of a misspelt name.

use std::sync::Arc;
use std::time::Duration;

use super::{Build, Connection, Provider, ProviderSettings, Route};
use crate::dialect::ollama;
use crate::error::{Error, Kind, Result};
use crate::http::{Auth, Endpoint, Timeouts};
use crate::llm::{BoxFuture, ChatModel, ChatStream};
use crate::types::{ChatRequest, ChatResponse};

const PROVIDER: &str = "ollama";
const DEFAULT_PORT: u16 = 11434;

/// Ollama's constants. Ollama itself reads a missing tag of a model as `:latest`.
pub const OLLAMA: Provider = Provider {
    name: PROVIDER,
    label: "Ollama",
    shortest_key: 0,
    base_url: "",
    default_model: "llama3.2",
    key_variables: &[],
    url_variable: Some("OLLAMA_HOST"),
    options: &[],
    build: Build::Own(|settings| Ok(Arc::new(OllamaProvider::new(settings)))),
};

/// One model of one Ollama server.
pub struct OllamaProvider {
    model: String,
    route: Route,
}

impl OllamaProvider {
    /// Prepares nothing but texts; see [`super::LlmConfig::ollama`].
    #[must_use]
    pub fn new(settings: &ProviderSettings) -> Self {
        let base = base_url(&settings.connection);
        let timeouts = settings.connection.settings(Timeouts {
            // The first request after a while loads the model from disk.
            total: Duration::from_secs(120),
            first_byte: Duration::from_secs(120),
            idle: Duration::from_secs(60),
            ..Timeouts::default()
        });
        let route = Route::new(PROVIDER, format!("{base}/api/chat"), Auth::None, timeouts);
        Self { model: settings.model().to_owned(), route: route.explained(explain) }
    }

    /// A missing model gets its remedy, which names the model as it was asked for.
    fn advise(&self, error: Error) -> Error {
        let body = error.message();
        if error.kind() != Kind::NotFound || !body.contains("model") {
            return error;
        }
        let text = format!("{body}. Run `ollama pull {}` to download it", self.model);
        error.with_message(text)
    }
}

fn explain(route: &Route, error: Error, stream: bool) -> Error {
    match error.status() {
        Some(_) if stream => error.with_prefix("HTTP error: "),
        Some(status) => {
            let reason = http::StatusCode::from_u16(status).ok();
            let reason = reason.and_then(|status| status.canonical_reason()).unwrap_or_default();
            error.with_prefix(&format!("HTTP {status} {reason}: "))
        }
        None if error.kind() == Kind::Network => {
            let base = route.prepared.as_ref().map_or("", Endpoint::url);
            let base = base.trim_end_matches("/api/chat");
            let text = format!("{}. Make sure Ollama is running on {base}", error.message());
            error.with_message(text)
        }
        None => error,
    }
}

/// The server's address, without a trailing slash.
pub(super) fn base_url(connection: &Connection) -> String {
    let host = match &connection.base_url {
        Some(url) => url.clone(),
        None => std::env::var("OLLAMA_HOST").unwrap_or_default(),
    };
    from_host(&host)
}

/// Reads `host`, `host:port`, `[::1]:port`, `:port` or a URL. A URL without a port means its scheme's
/// own, anything else Ollama's.
fn from_host(host: &str) -> String {
    let host = host.trim().trim_matches(['"', '\'']).trim_end_matches('/');
    if host.is_empty() {
        return format!("http://localhost:{DEFAULT_PORT}");
    }
    // A URL, or one with a slip in it, which the first request then refuses.
    if host.contains("//") {
        return host.to_owned();
    }
    let (authority, path) = match host.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (host, String::new()),
    };
    let (name, port) = match authority.rsplit_once(':') {
        // A bare IPv6 address is full of colons.
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port.to_owned()),
        _ => (authority, DEFAULT_PORT.to_string()),
    };
    let name = match name {
        // A server binds to these; a client cannot connect to them everywhere.
        "" | "0.0.0.0" => "127.0.0.1".to_owned(),
        "[::]" | "::" => "[::1]".to_owned(),
        bare if bare.contains(':') && !bare.starts_with('[') => format!("[{bare}]"),
        other => other.to_owned(),
    };
    format!("http://{name}:{port}{path}")
}

impl ChatModel for OllamaProvider {
    fn provider(&self) -> &str {
        PROVIDER
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn attempt_limit(&self) -> Option<Duration> {
        Some(self.route.settings.timeouts.total)
    }

    fn complete<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatResponse>> {
        Box::pin(async {
            let body = ollama::encode(&self.model, request, false)?;
            let answer =
                self.route.ask(request, body, |answer| ollama::decode(&self.model, answer));
            answer.await.map_err(|error| self.advise(error))
        })
    }

    fn stream<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatStream>> {
        Box::pin(async {
            let body = ollama::encode(&self.model, request, true)?;
            let opened = self.route.open(body, ollama::stream_decoder());
            opened.await.map_err(|error| self.advise(error))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_host_is_understood() {
        for (host, base) in [
            ("", "http://localhost:11434"),
            ("  ", "http://localhost:11434"),
            ("box", "http://box:11434"),
            ("box:8080", "http://box:8080"),
            (":8080", "http://127.0.0.1:8080"),
            ("0.0.0.0", "http://127.0.0.1:11434"),
            ("0.0.0.0:80/", "http://127.0.0.1:80"),
            ("::1", "http://[::1]:11434"),
            ("[::1]:99", "http://[::1]:99"),
            ("[::1]", "http://[::1]:11434"),
            ("\"box\"", "http://box:11434"),
            ("https://box.example", "https://box.example"),
            ("http://box:1/prefix/", "http://box:1/prefix"),
            ("box:1/prefix", "http://box:1/prefix"),
        ] {
            assert_eq!(from_host(host), base, "{host:?}");
        }
    }

    #[test]
    fn a_missing_model_says_how_to_get_it() {
        let model = OllamaProvider::new(&ProviderSettings::new(PROVIDER).with_model("nope"));
        let missing = Error::new(Kind::NotFound, "model 'nope' not found").with_status(404);
        let error = model.advise(missing);
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.message().contains("`ollama pull nope`"), "{error}");
    }
}
