//! Who answers over the network: one file a provider, data first.
//!
//! A [`Provider`] is constants and a way to build its model: those of the chat-completions family share
//! [`compatible::ChatProvider`], one with a wire of its own implements
//! [`ChatModel`](crate::llm::ChatModel) over a dialect. Nothing is connected, and no URL judged, before
//! the first request: a configuration can be made anywhere, and its faults are reported by the call.
//!
//! ```
//! use graphbit::providers::{Connection, LlmConfig};
//! use graphbit::secret::ApiKey;
//!
//! let key = ApiKey::new("sk-0123456789abcdef0123");
//! let config = LlmConfig::openai(key, None, Connection::default())?;
//! assert_eq!((config.provider(), config.model_name()), ("openai", "gpt-4o-mini"));
//! # Ok::<(), graphbit::Error>(())
//! ```

pub mod ai21;
pub mod anthropic;
pub mod azure;
pub mod bytedance;
pub mod compatible;
mod config;
pub mod deepseek;
pub mod embeddings;
mod environment;
pub mod fireworks;
pub mod gemini;
pub mod mistralai;
pub mod ollama;
pub mod openai;
pub mod openrouter;
pub mod perplexity;
pub mod replicate;
mod settings;
pub mod togetherai;
pub mod xai;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
pub use config::LlmConfig;
pub use environment::from_environment;
use futures_util::stream::{self, Stream, StreamExt};
pub use settings::ProviderSettings;

use crate::dialect::openai_chat::Wire;
use crate::dialect::{FrameReader, StreamDecoder};
use crate::error::{Advice, Error, Kind, Result};
use crate::http::{Auth, ByteStream, Endpoint, Settings, Timeouts, pace};
use crate::llm::{ChatModel, ChatStream};
use crate::runtime;
use crate::secret::ApiKey;
use crate::types::{ChatEvent, ChatRequest, ChatResponse};

/// One provider: what it is called, what its key must look like, and how its model is made.
pub struct Provider {
    /// Its name in errors, and from `provider()`.
    pub name: &'static str,
    /// Its name in complaints about a key.
    pub label: &'static str,
    /// Fewest bytes of a key; 0 when it needs none.
    pub shortest_key: usize,
    /// Where it is, unless [`Connection::base_url`] says otherwise.
    pub base_url: &'static str,
    /// The model when none is named.
    pub default_model: &'static str,
    /// Environment variables that may hold its key, the usual one first.
    pub key_variables: &'static [&'static str],
    /// The environment variable that may hold its address.
    pub url_variable: Option<&'static str>,
    /// Names of [`ProviderSettings::options`], each with the header it is sent in, if it is sent so.
    pub options: &'static [(&'static str, Option<&'static str>)],
    /// How its model is made.
    pub build: Build,
}

/// How a provider's model is made.
pub enum Build {
    /// It speaks chat completions, like this.
    Chat(Wire),
    /// Its own way. The settings have been checked, and the model filled in.
    Own(fn(&ProviderSettings) -> Result<Arc<dyn ChatModel>>),
}

/// Every provider reached over the network, in the order in which
/// [`from_environment`] looks for a key.
pub static PROVIDERS: [&Provider; 16] = [
    &openai::OPENAI,
    &anthropic::ANTHROPIC,
    &azure::AZURE,
    &gemini::GEMINI,
    &mistralai::MISTRALAI,
    &deepseek::DEEPSEEK,
    &xai::XAI,
    &openrouter::OPENROUTER,
    &togetherai::TOGETHERAI,
    &fireworks::FIREWORKS,
    &perplexity::PERPLEXITY,
    &ai21::AI21,
    &bytedance::BYTEDANCE,
    &replicate::REPLICATE,
    &ollama::OLLAMA,
    &compatible::COMPATIBLE,
];

/// What every provider lets its user change about the connection.
#[derive(Clone, Default, PartialEq)]
pub struct Connection {
    /// Replaces the provider's address; a trailing slash does not matter.
    pub base_url: Option<String>,
    /// Limit of one attempt, and of a stream's silence before its first byte. Unset: the provider's.
    pub timeout: Option<Duration>,
    /// Extra headers.
    pub headers: Vec<(String, String)>,
    /// A proxy for this client; unset asks the environment.
    pub proxy: Option<String>,
}

impl Connection {
    fn base<'a>(&'a self, default: &'a str) -> &'a str {
        self.base_url.as_deref().unwrap_or(default).trim_end_matches('/')
    }

    fn settings(&self, defaults: Timeouts) -> Settings {
        let mut timeouts = defaults;
        if let Some(timeout) = self.timeout {
            timeouts.total = timeout;
            timeouts.first_byte = timeout;
            timeouts.connect = timeouts.connect.min(timeout);
        }
        Settings {
            proxy: self.proxy.clone(),
            headers: self.headers.clone(),
            timeouts,
            ..Settings::default()
        }
    }
}

/// Checks a key's length, in bytes, as every constructor does.
pub(crate) fn check_key(label: &str, shortest: usize, key: &ApiKey) -> Result<()> {
    let problem = match key.expose().len() {
        _ if shortest == 0 => return Ok(()),
        0 => "cannot be empty",
        length if length < shortest => "too short",
        _ => return Ok(()),
    };
    Err(Error::new(Kind::Validation, format!("{label} API key {problem}")))
}

/// Turns a transport's or a server's refusal into the provider's words; `stream` says which call.
type Explain = fn(&Route, Error, bool) -> Error;

/// One URL of a provider, with the provider's name put on every error.
struct Route {
    provider: &'static str,
    url: String,
    auth: Auth,
    settings: Settings,
    explain: Explain,
    /// `None` when it cannot be prepared; then every call says why.
    prepared: Option<Endpoint>,
}

impl Route {
    fn new(provider: &'static str, url: String, auth: Auth, settings: Settings) -> Self {
        let explain: Explain = |_, error, _| labelled(error, "API error: ");
        let prepared = Endpoint::new(provider, &url, auth.clone(), &settings).ok();
        Self { provider, url, auth, settings, explain, prepared }
    }

    fn explained(self, explain: Explain) -> Self {
        Self { explain, ..self }
    }

    fn endpoint(&self) -> Result<Endpoint> {
        match &self.prepared {
            Some(endpoint) => Ok(endpoint.clone()),
            None => Endpoint::new(self.provider, &self.url, self.auth.clone(), &self.settings),
        }
    }

    /// One request and its whole answer, read by `decode`.
    async fn ask(
        &self,
        request: &ChatRequest,
        body: Bytes,
        decode: impl FnOnce(&[u8]) -> Result<ChatResponse>,
    ) -> Result<ChatResponse> {
        let attempt = async { self.endpoint()?.post(body).await };
        match attempt.await {
            Ok(reply) => {
                let mut answer = decode(&reply.body)
                    .map_err(|error| self.blamed(error.with_request_id(reply.request_id())))?;
                answer.pace = pace(&reply.headers);
                if request.keep_raw {
                    answer.raw = Some(String::from_utf8_lossy(&reply.body).into_owned());
                }
                Ok(answer)
            }
            // The transport's own limit has no cause below it, a slow connect has.
            Err(error)
                if error.kind() == Kind::Timeout
                    && error.status().is_none()
                    && std::error::Error::source(&error).is_none() =>
            {
                let limit = self.settings.timeouts.total.as_millis();
                let text = format!("Timeout in 'llm_request' after {limit}ms: Request timed out");
                // The model may still be at work on it: asking again would pay twice.
                Err(error.with_message(text).with_advice(Advice::Never))
            }
            Err(error) => Err(blame(self.provider, (self.explain)(self, error, false))),
        }
    }

    /// A decoder's error as the caller sees it.
    fn blamed(&self, error: Error) -> Error {
        blame(self.provider, redacted(self.prepared.as_ref(), error))
    }

    /// One request and its answer as it arrives.
    async fn open<R: FrameReader>(
        &self,
        body: Bytes,
        decoder: StreamDecoder<R>,
    ) -> Result<ChatStream> {
        let attempt = async { self.endpoint()?.open(body).await };
        let bytes = attempt
            .await
            .map_err(|error| blame(self.provider, (self.explain)(self, error, true)))?;
        let (provider, endpoint) = (self.provider, self.prepared.clone());
        let blamed = move |event: Result<_>| {
            event.map_err(|error| blame(provider, redacted(endpoint.as_ref(), error)))
        };
        Ok(Box::pin(events(bytes, decoder).map(blamed)))
    }
}

/// Puts `label` before what a server said with its status; other errors explain themselves.
fn labelled(error: Error, label: &str) -> Error {
    if error.status().is_some() { error.with_prefix(label) } else { error }
}

/// What a decoder makes of an answer may quote the server, and servers like to quote the key.
fn redacted(endpoint: Option<&Endpoint>, error: Error) -> Error {
    let Some(endpoint) = endpoint else { return error };
    let text = endpoint.redact(error.message().to_owned());
    let id = error.request_id().map(|id| endpoint.redact(id.to_owned()));
    error.with_message(text).with_request_id(id)
}

fn blame(provider: &'static str, error: Error) -> Error {
    error
        .with_prefix(&format!("Core error: LLM provider error: {provider} - "))
        .with_provider(provider)
}

/// Runs a decoder over the bytes of an answer; ends after the terminal event or an error.
fn events<R: FrameReader>(
    bytes: ByteStream,
    decoder: StreamDecoder<R>,
) -> impl Stream<Item = Result<ChatEvent>> + Send {
    let state = (Some(bytes), decoder, VecDeque::new());
    stream::unfold(state, |(mut bytes, mut decoder, mut ready)| async move {
        loop {
            if let Some(event) = ready.pop_front() {
                return Some((event, (bytes, decoder, ready)));
            }
            match bytes.as_mut()?.next().await {
                Some(Ok(piece)) => decoder.feed(&piece, &mut ready),
                Some(Err(error)) => {
                    bytes = None;
                    ready.push_back(Err(error));
                }
                None => {
                    bytes = None;
                    decoder.end(&mut ready);
                }
            }
            if let (Some(Ok(ChatEvent::Done { .. })), Some(rest)) =
                (ready.back(), bytes.take_if(|_| decoder.is_closed()))
            {
                recycle(rest);
            }
        }
    })
}

/// Lets the end of the body arrive behind the last event, so that the connection can be used again,
/// without making the reader wait for it.
fn recycle(mut bytes: ByteStream) {
    runtime::spawn(async move {
        let _ = tokio::time::timeout(Duration::from_secs(1), bytes.next()).await;
        Ok(())
    })
    .detach();
}
