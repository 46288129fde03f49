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

/// Texts to be sent, and where among the caller's their rows belong.
pub(super) struct Sought {
    pub(super) texts: Vec<String>,
    /// `None` when they are all of the caller's, in their order.
    spread: Option<Spread>,
}

struct Spread {
    /// Of each text, where it occurs first.
    firsts: Vec<usize>,
    /// Text and further position, sorted.
    repeats: Vec<(usize, usize)>,
}

impl Sought {
    /// All of the caller's.
    pub(super) fn all(texts: Vec<String>) -> Self {
        Self { texts, spread: None }
    }

    /// Some of them, each once. `repeats` holds a text's number here and where else it occurs.
    pub(super) fn some(
        texts: Vec<String>,
        firsts: Vec<usize>,
        mut repeats: Vec<(usize, usize)>,
    ) -> Self {
        repeats.sort_unstable();
        Self { texts, spread: Some(Spread { firsts, repeats }) }
    }

    /// Whether rows and texts have the same numbers.
    pub(super) fn is_all(&self) -> bool {
        self.spread.is_none()
    }

    /// Where the text of this number occurs first.
    pub(super) fn position(&self, number: usize) -> usize {
        let first = self.spread.as_ref().and_then(|spread| spread.firsts.get(number));
        first.copied().unwrap_or(number)
    }

    /// How many of the caller's texts have their rows here.
    pub(super) fn rows(&self) -> usize {
        let repeats = self.spread.as_ref().map_or(0, |spread| spread.repeats.len());
        self.texts.len().saturating_add(repeats)
    }

    /// The same for some of the texts here.
    pub(super) fn rows_of(&self, numbers: &Range<usize>) -> usize {
        let repeats: usize = match &self.spread {
            Some(_) => numbers.clone().map(|number| self.repeats(number).count()).sum(),
            None => 0,
        };
        numbers.len().saturating_add(repeats)
    }

    /// Everywhere else it occurs.
    pub(super) fn repeats(&self, number: usize) -> impl Iterator<Item = usize> {
        let all = self.spread.as_ref().map_or(&[][..], |spread| &spread.repeats);
        let start = all.partition_point(|(text, _)| *text < number);
        let here = all.get(start..).unwrap_or_default().iter();
        here.take_while(move |(text, _)| *text == number).map(|(_, position)| *position)
    }
}

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
    sought: &Sought,
    range: Range<usize>,
    stop: bool,
) -> Vec<Part> {
    let mut parts = Vec::with_capacity(1);
    let mut pending = vec![range];
    while let Some(range) = pending.pop() {
        let batch = sought.texts.get(range.clone()).unwrap_or_default();
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
                (at..after, named(error, sought.position(at)))
            }
            Some(_) if count == 1 => {
                let at = range.start;
                (range, named(error, sought.position(at)))
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
