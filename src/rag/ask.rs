//! Asking: the passages for a question, and an answer that cites them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::marks::marked;
use super::passages::{Asking, Mode, check_question};
use super::{Inner, ParallelRag, prompt};
use crate::error::Result;
use crate::types::{ChatRequest, ChatResponse, Passage, Usage};

/// The text of an answer when no passage was good enough. No model is asked then.
pub const NOTHING_FOUND: &str = "Nothing relevant to the question was found.";

/// A passage the answer was built from.
#[derive(Clone, Debug, PartialEq)]
pub struct Citation {
    /// The number that marks it in the answer: `[1]`, `[2]`, ..., also among others, as in `[1, 3]` and `[1-3]`.
    pub number: usize,
    /// The passage, with its document's name and its score.
    pub passage: Passage,
    /// Whether the answer's text carries its mark.
    pub cited: bool,
}

impl Citation {
    /// `passages` with their numbers; those are cited whose marks stand in `text`.
    #[must_use]
    pub fn all(passages: Vec<Passage>, text: &str) -> Vec<Self> {
        let marked = marked(text, passages.len());
        let numbered = passages.into_iter().zip(1..);
        let citation =
            |(passage, number)| Self { number, passage, cited: marked.contains(&number) };
        numbered.map(citation).collect()
    }
}

/// An answer and what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What the model said, or [`NOTHING_FOUND`].
    pub text: String,
    /// The retrieved passages, best first.
    pub citations: Vec<Citation>,
    /// Tokens of the model call.
    pub usage: Usage,
    /// The model that answered; empty when none was asked.
    pub model: String,
    /// Whether there were passages to answer from.
    pub found: bool,
}

/// A question with its passages, ready to be put to a model.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The passages, best first.
    pub passages: Vec<Passage>,
    /// What is asked of a model; `None` when there are no passages to answer from.
    pub request: Option<ChatRequest>,
}

impl Prepared {
    /// The answer of a model, or without one that nothing was found.
    #[must_use]
    pub fn answer(self, response: Option<ChatResponse>) -> Answer {
        let found = response.is_some();
        let response = response.unwrap_or_else(|| ChatResponse {
            content: NOTHING_FOUND.to_owned(),
            ..ChatResponse::default()
        });
        Answer {
            citations: Citation::all(self.passages, &response.content),
            text: response.content,
            usage: response.usage,
            model: response.model,
            found,
        }
    }
}

impl ParallelRag {
    /// The passages most similar to `question`, best first; `top_k` defaults to the configuration's.
    ///
    /// # Errors
    /// As [`ParallelRag::search_with`].
    pub async fn search(&self, question: &str, top_k: Option<usize>) -> Result<Vec<Passage>> {
        self.search_with(question, &Asking::for_top(top_k)).await
    }

    /// The passages for `question`, best first: found, reranked and chosen as `asking` says. Their scores are
    /// the reranker's if there is one, else BM25 for [`Mode::Lexical`], else the similarity of the vectors.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] for a blank question or an `asking` out of its ranges;
    /// [`crate::Kind::Store`] when nothing has been ingested; the embedding client's errors, and the reranker's.
    pub async fn search_with(&self, question: &str, asking: &Asking) -> Result<Vec<Passage>> {
        asking.check()?;
        check_question(question)?;
        self.inner.check_filled()?;
        let vector = match asking.mode {
            Mode::Lexical => Vec::new(),
            _ => self.inner.embed(vec![question.to_owned()]).await?.pop().unwrap_or_default(),
        };
        self.inner.passages(question, vector, asking).await
    }

    /// Answers from the passages most similar to `question`.
    ///
    /// # Errors
    /// As [`ParallelRag::ask_with`].
    pub async fn ask(&self, question: &str, top_k: Option<usize>) -> Result<Answer> {
        self.ask_with(question, &Asking::for_top(top_k)).await
    }

    /// Answers from the passages for `question`. Without any, no model is asked: see [`Answer::found`].
    ///
    /// # Errors
    /// As [`ParallelRag::search_with`], the LLM client's, and [`crate::Kind::Validation`] when the best
    /// passage alone has more than `max_context_tokens`.
    pub async fn ask_with(&self, question: &str, asking: &Asking) -> Result<Answer> {
        let passages = self.search_with(question, asking).await?;
        let prepared = self.inner.prepared(question, passages, asking).await?;
        self.inner.answer(prepared).await
    }

    /// The question with its passages, for whoever puts it to a model himself, to stream the answer for
    /// instance. It counts as a question answered.
    ///
    /// # Errors
    /// As [`ParallelRag::ask_with`], the LLM client's apart.
    pub async fn prepare(&self, question: &str, asking: &Asking) -> Result<Prepared> {
        let passages = self.search_with(question, asking).await?;
        let prepared = self.inner.prepared(question, passages, asking).await?;
        self.inner.questions.fetch_add(1, Ordering::Relaxed);
        Ok(prepared)
    }
}

impl Inner {
    pub(super) async fn prepared(
        self: &Arc<Self>,
        question: &str,
        mut passages: Vec<Passage>,
        asking: &Asking,
    ) -> Result<Prepared> {
        if let Some(limit) = asking.max_context_tokens {
            let inner = Arc::clone(self);
            passages = crate::runtime::spawn_blocking(move || {
                prompt::fit(&mut passages, limit, inner.config.llm.model().model())?;
                Ok(passages)
            })
            .await?;
        }
        let request = (!passages.is_empty()).then(|| {
            let text = self.config.prompt.fill(question, &passages);
            ChatRequest { passages: passages.clone(), ..ChatRequest::from_prompt(text) }
        });
        Ok(Prepared { passages, request })
    }

    pub(super) async fn answer(&self, mut prepared: Prepared) -> Result<Answer> {
        let response = match prepared.request.take() {
            Some(request) => Some(self.config.llm.complete(request).await?),
            None => None,
        };
        self.questions.fetch_add(1, Ordering::Relaxed);
        Ok(prepared.answer(response))
    }
}
