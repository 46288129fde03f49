//! What a chat model is to this crate.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::Stream;

use crate::error::{Error, Kind, Result};
use crate::types::{ChatEvent, ChatRequest, ChatResponse};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Events of one streamed answer. Ends after [`ChatEvent::Done`] or an error; dropping it cancels the
/// request.
pub type ChatStream = Pin<Box<dyn Stream<Item = Result<ChatEvent>> + Send>>;

/// Something that answers chat requests. Implementations make one attempt and judge nothing: retry,
/// breaker and statistics belong to [`super::LlmClient`].
pub trait ChatModel: Any + Send + Sync {
    /// Who answers (`"openai"`).
    fn provider(&self) -> &str;

    /// The model or deployment name.
    fn model(&self) -> &str;

    /// The longest one attempt may take, where there is a limit; a call's deadline grows with it.
    fn attempt_limit(&self) -> Option<Duration> {
        None
    }

    /// One attempt at a whole answer.
    fn complete<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatResponse>>;

    /// One attempt at opening a streamed answer. Unless implemented, [`Kind::Configuration`].
    fn stream<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatStream>> {
        let _ = request;
        Box::pin(async {
            let text = "Configuration error: Streaming not supported by this provider";
            Err(Error::new(Kind::Configuration, text).with_provider(self.provider().to_owned()))
        })
    }
}
