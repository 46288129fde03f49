//! Which texts share a request, and what to do when a server finds them too many.
//!
//! A plan keeps to both limits of a model, texts and tokens. Tokens are counted only when the bytes alone
//! do not show that they are few enough: a token has at least one byte. Where a server's own count is
//! higher than ours, its refusal divides the request, down to the text that is too long by itself.

use std::ops::Range;

use super::client::EmbeddingClient;
use super::model::{EmbeddingModel, Excess};
use crate::error::{Error, Result};
use crate::types::Embeddings;

/// The texts of each request, as ranges in order.
pub(super) struct Plan<'a> {
    texts: &'a [String],
    model: &'a dyn EmbeddingModel,
    size: usize,
    next: usize,
}

impl<'a> Plan<'a> {
    /// A plan of requests of at most `size` texts, at least one.
    pub(super) fn new(texts: &'a [String], model: &'a dyn EmbeddingModel, size: usize) -> Self {
        Self { texts, model, size: size.min(model.max_batch()).max(1), next: 0 }
    }
}

impl Iterator for Plan<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let start = self.next;
        let rest = self.texts.get(start..).filter(|rest| !rest.is_empty())?;
        let batch = rest.get(..self.size).unwrap_or(rest);
        let taken = match self.model.max_request_tokens() {
            Some(most) if batch.iter().map(String::len).sum::<usize>() > most => {
                let mut tokens = 0_usize;
                let fits = |text: &&String| {
                    tokens = tokens.saturating_add(self.model.tokens(text));
                    tokens <= most
                };
                // One text goes alone, whatever its length: the server is to judge it.
                batch.iter().take_while(fits).count().max(1)
            }
            _ => batch.len(),
        };
        self.next = start.saturating_add(taken);
        Some(start..self.next)
    }
}

/// What became of some of the texts of a planned request.
pub(super) struct Part {
    pub(super) texts: Range<usize>,
    pub(super) answer: Result<Embeddings>,
}

/// The planned request `range`, in as many parts as it takes. With `stop` the first failure is the last
/// part; without, every text is in some part.
pub(super) async fn parts(
    client: &EmbeddingClient,
    texts: &[String],
    range: Range<usize>,
    stop: bool,
) -> Vec<Part> {
    let mut parts = Vec::with_capacity(1);
    let mut pending = vec![range];
    while let Some(range) = pending.pop() {
        let batch = texts.get(range.clone()).unwrap_or_default();
        let error = match client.request(batch, false).await {
            Ok(answer) => {
                parts.push(Part { texts: range, answer: Ok(answer) });
                continue;
            }
            Err(error) => error,
        };
        let count = batch.len();
        let (failed, error) = match client.model().excess(&error) {
            Some(Excess::Request) if count > 1 => {
                let middle = range.start.saturating_add(count / 2);
                pending.extend([middle..range.end, range.start..middle]);
                continue;
            }
            Some(Excess::Text(number)) if number < count => {
                let at = range.start.saturating_add(number);
                let after = at.saturating_add(1);
                let others = [after..range.end, range.start..at];
                pending.extend(others.into_iter().filter(|others| !others.is_empty()));
                (at..after, named(error, at))
            }
            Some(_) if count == 1 => {
                let at = range.start;
                (range, named(error, at))
            }
            _ => (range, error),
        };
        parts.push(Part { texts: failed, answer: Err(error) });
        if stop {
            break;
        }
    }
    parts
}

/// Says which text it was; never what it says.
fn named(error: Error, position: usize) -> Error {
    let message = error.message();
    let cause = message.strip_prefix("LLM error: ").unwrap_or(message);
    let text = format!("LLM error: text {position} is too long: {cause}");
    error.with_message(text)
}
