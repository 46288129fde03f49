//! Asking: the passages most similar to a question, and an answer that cites them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{ParallelRag, check_top_k};
use crate::error::{Error, Kind, Result};
use crate::runtime;
use crate::types::{ChatRequest, Passage, Usage};

/// A passage the answer was built from.
#[derive(Clone, Debug, PartialEq)]
pub struct Citation {
    /// The number that marks it in the answer: `[1]`, `[2]`, ...
    pub number: usize,
    /// The passage, with its document's name and its similarity to the question.
    pub passage: Passage,
    /// Whether the answer's text carries its mark.
    pub cited: bool,
}

/// An answer and what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What the model said.
    pub text: String,
    /// The retrieved passages, best first.
    pub citations: Vec<Citation>,
    /// Tokens of the model call.
    pub usage: Usage,
    /// The model that answered.
    pub model: String,
}

impl ParallelRag {
    /// The passages most similar to `question`, best first; `top_k` defaults to the configuration's.
    ///
    /// # Errors
    /// [`Kind::Validation`] for a blank question or an impossible `top_k`; [`Kind::Store`] when nothing
    /// has been ingested; the embedding client's errors.
    pub async fn search(&self, question: &str, top_k: Option<usize>) -> Result<Vec<Passage>> {
        let top_k = top_k.unwrap_or(self.inner.config.top_k);
        check_top_k(top_k)?;
        if question.trim().is_empty() {
            return Err(Error::validation("question", None, "must not be empty"));
        }
        if self.inner.index.is_empty() {
            return Err(Error::new(
                Kind::Store,
                "The store is empty: ingest documents before asking questions",
            ));
        }
        let embedded = self.inner.config.embedding.embed_many(vec![question.to_owned()]).await?;
        self.inner.embedded_tokens.fetch_add(embedded.usage.total_tokens, Ordering::Relaxed);
        let inner = Arc::clone(&self.inner);
        runtime::spawn_blocking(move || {
            let vector = embedded.vectors.row(0).unwrap_or_default();
            inner.index.search(vector, top_k)
        })
        .await
    }

    /// Answers from the passages most similar to `question`.
    ///
    /// # Errors
    /// As [`ParallelRag::search`], and the LLM client's.
    pub async fn ask(&self, question: &str, top_k: Option<usize>) -> Result<Answer> {
        let passages = self.search(question, top_k).await?;
        let mut request = ChatRequest::from_prompt(prompt(question, &passages));
        request.passages = passages;
        let passages = request.passages.clone();
        let response = self.inner.config.llm.complete(request).await?;
        self.inner.questions.fetch_add(1, Ordering::Relaxed);
        let citations = passages
            .into_iter()
            .enumerate()
            .map(|(index, passage)| {
                let number = index + 1;
                let cited = response.content.contains(&format!("[{number}]"));
                Citation { number, passage, cited }
            })
            .collect();
        Ok(Answer {
            text: response.content,
            citations,
            usage: response.usage,
            model: response.model,
        })
    }
}

/// The prompt for a model that reads: instructions, numbered passages, question last.
fn prompt(question: &str, passages: &[Passage]) -> String {
    let mut prompt = String::from(
        "Answer the question from the numbered passages below and nothing else. After each statement \
         put the number of the passage it comes from, like [1]. If the passages do not hold the \
         answer, say so.\n",
    );
    for (index, passage) in passages.iter().enumerate() {
        let number = index + 1;
        prompt.push_str(&format!("\n[{number}] ({})\n{}\n", passage.source, passage.text.trim()));
    }
    prompt.push_str("\nQuestion: ");
    prompt.push_str(question.trim());
    prompt
}
