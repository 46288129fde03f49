//! What answers an embedding request, wherever it runs.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::error::{Error, Result};
use crate::types::Embeddings;

/// A source of embeddings: one call is one request, without retries.
pub trait EmbeddingModel: Send + Sync + 'static {
    /// Who answers, such as `"openai"`.
    fn provider(&self) -> &str;

    /// The model's name.
    fn model(&self) -> &str;

    /// Values a vector has, when that is known before the first answer.
    fn dimensions(&self) -> Option<usize>;

    /// The most texts one request may hold; at least 1.
    fn max_batch(&self) -> usize;

    /// The most tokens the texts of one request may have together, where there is a limit.
    fn max_request_tokens(&self) -> Option<usize> {
        None
    }

    /// The tokens of a text, or an estimate that is seldom too low.
    fn tokens(&self, text: &str) -> usize {
        text.len()
    }

    /// Whether a request failed because it held too much, so that a smaller one may succeed.
    fn excess(&self, error: &Error) -> Option<Excess> {
        let _ = error;
        None
    }

    /// The longest one attempt may take, where there is a limit; a call's deadline grows with it.
    fn attempt_limit(&self) -> Option<Duration> {
        None
    }

    /// Embeds `texts`, at most [`EmbeddingModel::max_batch`] of them, in one request.
    ///
    /// `single` asks for one text to be sent as a string instead of an array, where that differs. An
    /// implementation returns exactly one row for each text, in order, or an error.
    fn embed<'a>(&'a self, texts: &'a [String], single: bool) -> BoxFuture<'a, Result<Embeddings>>;
}

/// What of a refused request was too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// Its texts together, as far as the server says.
    Request,
    /// The text at this position, by itself.
    Text(usize),
}
