//! The one error type of the crate.
//!
//! An [`Error`] says *what* went wrong ([`Kind`]), *whether trying again can help* ([`Advice`]), and
//! where: provider, operation, HTTP status, request id, source. It refuses to carry secrets: whoever
//! builds one from a server's text passes it through [`crate::secret::ApiKey::redact`] first.
//!
//! ```
//! use graphbit::{Advice, Error, Kind};
//!
//! let error = Error::new(Kind::RateLimited, "slow down").with_provider("openai").with_status(429);
//! assert!(matches!(error.advice(), Advice::Retry { .. }));
//! assert_eq!(error.to_string(), "slow down");
//! ```

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// Shorthand for a result with the crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in a word a user would say. Enumerable through [`Kind::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An argument of a call is unusable; the message names field, value and what would be right.
    Validation,
    /// A splitter's or pipeline's parameters contradict each other.
    Parameter,
    /// The configuration cannot work: unknown model name, unusable URL, missing package.
    Configuration,
    /// The provider offers no such operation.
    Unsupported,
    /// HTTP 401: the key is wrong.
    Authentication,
    /// HTTP 403: the key is right, the permission is missing.
    PermissionDenied,
    /// HTTP 404: no such model, deployment or route.
    NotFound,
    /// Any other 4xx: the request itself is refused.
    BadRequest,
    /// HTTP 429: too fast.
    RateLimited,
    /// HTTP 429 that will not heal by waiting: the quota is used up.
    QuotaExhausted,
    /// HTTP 5xx.
    Server,
    /// Could not connect, or the connection broke.
    Network,
    /// A time limit of ours fired.
    Timeout,
    /// The circuit breaker is open; nothing was sent.
    CircuitOpen,
    /// The answer is not what the protocol promises.
    Decode,
    /// A stream broke, stalled, or carried an error frame.
    Stream,
    /// The caller cancelled.
    Cancelled,
    /// A document cannot be read.
    Document,
    /// There is no such document.
    DocumentNotFound,
    /// The document may not be read: by its mode, by the server, or by a limit on places.
    DocumentDenied,
    /// The document is a folder.
    DocumentIsFolder,
    /// The server of a document could not be reached, or the connection broke.
    DocumentNetwork,
    /// The server of a document took too long.
    DocumentTimeout,
    /// The vector store or the memory cannot do it, or its file is damaged.
    Store,
    /// There is no memory of this id.
    MemoryNotFound,
    /// The graph of a workflow cannot run, or its checkpoint cannot be used.
    Workflow,
    /// The policy of guard rails cannot be read or used.
    GuardRail,
    /// A callback of the user's raised; the source is what it raised.
    Callback,
    /// A panic or a broken invariant of ours. Always a bug.
    Internal,
}

impl Kind {
    /// Every kind, for tables and tests.
    pub const ALL: [Self; 29] = [
        Self::Validation,
        Self::Parameter,
        Self::Configuration,
        Self::Unsupported,
        Self::Authentication,
        Self::PermissionDenied,
        Self::NotFound,
        Self::BadRequest,
        Self::RateLimited,
        Self::QuotaExhausted,
        Self::Server,
        Self::Network,
        Self::Timeout,
        Self::CircuitOpen,
        Self::Decode,
        Self::Stream,
        Self::Cancelled,
        Self::Document,
        Self::DocumentNotFound,
        Self::DocumentDenied,
        Self::DocumentIsFolder,
        Self::DocumentNetwork,
        Self::DocumentTimeout,
        Self::Store,
        Self::MemoryNotFound,
        Self::Workflow,
        Self::GuardRail,
        Self::Callback,
        Self::Internal,
    ];

    /// The stable snake-case word for this kind (`error.kind` in Python).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Parameter => "parameter",
            Self::Configuration => "configuration",
            Self::Unsupported => "unsupported",
            Self::Authentication => "authentication",
            Self::PermissionDenied => "permission_denied",
            Self::NotFound => "not_found",
            Self::BadRequest => "bad_request",
            Self::RateLimited => "rate_limited",
            Self::QuotaExhausted => "quota_exhausted",
            Self::Server => "server",
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::CircuitOpen => "circuit_open",
            Self::Decode => "decode",
            Self::Stream => "stream",
            Self::Cancelled => "cancelled",
            Self::Document => "document",
            Self::DocumentNotFound => "document_not_found",
            Self::DocumentDenied => "document_denied",
            Self::DocumentIsFolder => "document_is_folder",
            Self::DocumentNetwork => "document_network",
            Self::DocumentTimeout => "document_timeout",
            Self::Store => "store",
            Self::MemoryNotFound => "memory_not_found",
            Self::Workflow => "workflow",
            Self::GuardRail => "guard_rail",
            Self::Callback => "callback",
            Self::Internal => "internal",
        }
    }

    /// What a fresh error of this kind advises before anybody knows better.
    const fn default_advice(self) -> Advice {
        match self {
            Self::RateLimited
            | Self::Server
            | Self::Network
            | Self::Timeout
            | Self::DocumentNetwork
            | Self::DocumentTimeout => Advice::Retry { after: None },
            // A garbled answer is worth one more try; a second one is a protocol mismatch.
            Self::Decode => Advice::RetryOnce,
            _ => Advice::Never,
        }
    }

    /// The kind an HTTP status stands for; `None` for statuses that are not errors.
    #[must_use]
    pub const fn from_status(status: u16) -> Option<Self> {
        Some(match status {
            200..=299 => return None,
            401 => Self::Authentication,
            403 => Self::PermissionDenied,
            404 => Self::NotFound,
            408 => Self::Timeout,
            429 => Self::RateLimited,
            500..=599 => Self::Server,
            _ => Self::BadRequest,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether and when trying the same thing again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// The same request will fail the same way.
    Never,
    /// Worth exactly one more attempt.
    RetryOnce,
    /// May succeed later; `after` is the wait the server asked for.
    Retry {
        /// The server's own `Retry-After`, when it sent one.
        after: Option<Duration>,
    },
}

/// The crate's error. See the module documentation.
pub struct Error {
    // Boxed so that `Result<T, Error>` stays one word wide on the happy path.
    inner: Box<Inner>,
}

struct Inner {
    kind: Kind,
    advice: Advice,
    message: Cow<'static, str>,
    provider: Option<Cow<'static, str>>,
    model: Option<String>,
    operation: Option<&'static str>,
    attempts: Option<u32>,
    status: Option<u16>,
    request_id: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`, with the advice that kind usually carries.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                advice: kind.default_advice(),
                message: message.into(),
                provider: None,
                model: None,
                operation: None,
                attempts: None,
                status: None,
                request_id: None,
                source: None,
            }),
        }
    }

    /// A refused argument: `Validation error for field 'f' with value 'v': text`.
    #[must_use]
    pub fn validation(field: &str, value: Option<&str>, text: &str) -> Self {
        let message = match value {
            Some(value) => {
                format!("Validation error for field '{field}' with value '{value}': {text}")
            }
            None => format!("Validation error for field '{field}': {text}"),
        };
        Self::new(Kind::Validation, message)
    }

    /// A configuration that cannot work: `Configuration error: text`.
    #[must_use]
    pub fn configuration(text: impl fmt::Display) -> Self {
        Self::new(Kind::Configuration, format!("Configuration error: {text}"))
    }

    /// A caught panic, carrying its text.
    #[must_use]
    pub fn panicked(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        Self::new(Kind::Internal, format!("Internal error: a panic was caught: {text}"))
    }

    /// Replaces the message, keeping everything else.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.inner.message = message.into();
        self
    }

    /// Puts `prefix` in front of the message.
    #[must_use]
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        self.inner.message = Cow::Owned(format!("{prefix}{}", self.inner.message));
        self
    }

    /// Says whether trying again can help.
    #[must_use]
    pub fn with_advice(mut self, advice: Advice) -> Self {
        self.inner.advice = advice;
        self
    }

    /// Names the provider (`"openai"`).
    #[must_use]
    pub fn with_provider(mut self, provider: impl Into<Cow<'static, str>>) -> Self {
        self.inner.provider = Some(provider.into());
        self
    }

    /// Names the model, unless one is named already.
    #[must_use]
    pub fn with_model(mut self, model: &str) -> Self {
        self.inner.model.get_or_insert_with(|| model.to_owned());
        self
    }

    /// Says how many attempts the call made.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.inner.attempts = Some(attempts);
        self
    }

    /// Names the operation (`"complete"`, `"embed"`).
    #[must_use]
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.inner.operation = Some(operation);
        self
    }

    /// Keeps the HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.inner.status = Some(status);
        self
    }

    /// Keeps the provider's request id.
    #[must_use]
    pub fn with_request_id(mut self, id: Option<String>) -> Self {
        self.inner.request_id = id;
        self
    }

    /// Keeps the underlying error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// The same error for somebody else who waited for it; the source, which cannot be copied, stays here.
    pub(crate) fn duplicate(&self) -> Self {
        let inner = &self.inner;
        Self {
            inner: Box::new(Inner {
                kind: inner.kind,
                advice: inner.advice,
                message: inner.message.clone(),
                provider: inner.provider.clone(),
                model: inner.model.clone(),
                operation: inner.operation,
                attempts: inner.attempts,
                status: inner.status,
                request_id: inner.request_id.clone(),
                source: None,
            }),
        }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    /// Whether trying again can help.
    #[must_use]
    pub fn advice(&self) -> Advice {
        self.inner.advice
    }

    /// The message, as `Display` prints it.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The provider, when one was involved.
    #[must_use]
    pub fn provider(&self) -> Option<&str> {
        self.inner.provider.as_deref()
    }

    /// The model that was asked, when one was.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.inner.model.as_deref()
    }

    /// How many attempts the call made, when it made any.
    #[must_use]
    pub fn attempts(&self) -> Option<u32> {
        self.inner.attempts
    }

    /// The operation, when known.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        self.inner.operation
    }

    /// The HTTP status, when there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.inner.status
    }

    /// The provider's request id, when it sent one.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.inner.request_id.as_deref()
    }

    /// The wait the server asked for.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.inner.advice {
            Advice::Retry { after } => after,
            Advice::Never | Advice::RetryOnce => None,
        }
    }

    /// Takes the source out, so that a binding can re-raise what a callback raised.
    pub fn take_source(&mut self) -> Option<Box<dyn StdError + Send + Sync>> {
        self.inner.source.take()
    }
}

/// `text`, cut between two characters when it is longer than `most` bytes; `mark` says that it was.
pub(crate) fn shortened(mut text: String, most: usize, mark: &str) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or_default());
        text.push_str(mark);
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("advice", &self.inner.advice)
            .field("message", &self.inner.message)
            .field("provider", &self.inner.provider)
            .field("model", &self.inner.model)
            .field("operation", &self.inner.operation)
            .field("attempts", &self.inner.attempts)
            .field("status", &self.inner.status)
            .field("request_id", &self.inner.request_id)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.inner.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_word() {
        let mut words: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Kind::ALL.len());
    }

    #[test]
    fn only_causes_that_heal_are_retried_by_default() {
        for kind in Kind::ALL {
            let retried = !matches!(Error::new(kind, "").advice(), Advice::Never);
            let heals = matches!(
                kind,
                Kind::RateLimited
                    | Kind::Server
                    | Kind::Network
                    | Kind::Timeout
                    | Kind::Decode
                    | Kind::DocumentNetwork
                    | Kind::DocumentTimeout
            );
            assert_eq!(retried, heals, "{kind}");
        }
    }

    #[test]
    fn a_duplicate_says_all_that_can_be_said_twice() {
        let error = Error::new(Kind::RateLimited, "slow down")
            .with_advice(Advice::Retry { after: Some(Duration::from_secs(7)) })
            .with_provider("openai")
            .with_model("m")
            .with_operation("complete")
            .with_attempts(3)
            .with_status(429)
            .with_request_id(Some("r".to_owned()))
            .with_source("why");
        let copy = error.duplicate();
        assert_eq!(format!("{copy:?}"), format!("{error:?}"));
        assert!(error.source().is_some() && copy.source().is_none());
    }

    #[test]
    fn a_panic_keeps_its_text() {
        let payload = std::panic::catch_unwind(|| std::panic::panic_any(String::from("boom 7")));
        let error = Error::panicked(payload.unwrap_err().as_ref());
        assert!(error.message().contains("boom 7"));
    }
}
