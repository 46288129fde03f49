//! Who answers over the network: one file a provider, data first.
//!
//! A provider of the chat-completions family is a [`ChatSpec`] of constants served by
//! [`compatible::ChatProvider`]; one with a wire of its own implements
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

pub mod azure;
pub mod compatible;
mod config;
pub mod embeddings;
pub mod ollama;
pub mod openai;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
pub use compatible::ChatSpec;
pub use config::LlmConfig;
use futures_util::stream::{self, Stream, StreamExt};

use crate::dialect::{FrameReader, StreamDecoder};
use crate::error::{Advice, Error, Kind, Result};
use crate::http::{Auth, ByteStream, Endpoint, Settings, Timeouts};
use crate::llm::ChatStream;
use crate::runtime;
use crate::secret::ApiKey;
use crate::types::ChatEvent;

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
        Settings { proxy: self.proxy.clone(), headers: self.headers.clone(), timeouts }
    }
}

/// Checks a key's length, in bytes, as every constructor does.
fn check_key(label: &str, shortest: usize, key: &ApiKey) -> Result<()> {
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
    async fn ask<T>(&self, body: Bytes, decode: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
        let attempt = async { self.endpoint()?.post(body).await };
        match attempt.await {
            Ok(reply) => decode(&reply.body).map_err(|error| blame(self.provider, error)),
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
        let provider = self.provider;
        let blamed = move |event: Result<_>| event.map_err(|error| blame(provider, error));
        Ok(Box::pin(events(bytes, decoder).map(blamed)))
    }
}

/// Puts `label` before what a server said with its status; other errors explain themselves.
fn labelled(error: Error, label: &str) -> Error {
    if error.status().is_some() { error.with_prefix(label) } else { error }
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
