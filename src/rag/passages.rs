//! The passages for a question: found by vector, words or both, reranked, and chosen to differ.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;

use super::index::passage;
use super::{Inner, check_top_k};
use crate::error::{Error, Kind, Result};
use crate::runtime;
use crate::store::{Candidate, Filter, Sought, Store, at_least_one, diverse};
use crate::types::Passage;

/// Candidates for each passage that is wanted, where something is chosen among them.
const CANDIDATES_A_PASSAGE: usize = 4;
const FEWEST_CANDIDATES: usize = 20;
const MOST_CANDIDATES: usize = 1000;

/// How passages are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// By the vectors of question and passage: what means the same in other words.
    #[default]
    Vector,
    /// By the words they share (BM25): names, numbers, error codes. Nothing is embedded.
    Lexical,
    /// By both, fused by their ranks.
    Hybrid,
}

impl Mode {
    /// The mode's name: `"vector"`, `"lexical"` or `"hybrid"`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vector => "vector",
            Self::Lexical => "lexical",
            Self::Hybrid => "hybrid",
        }
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::Vector, Self::Lexical, Self::Hybrid];
        all.into_iter().find(|one| one.as_str() == name).ok_or_else(|| {
            Error::validation("mode", Some(name), "must be 'vector', 'lexical' or 'hybrid'")
        })
    }
}

/// Scores texts for a question, more is better: one score for each text, in their order.
pub type Rerank =
    Arc<dyn Fn(String, Vec<String>) -> BoxFuture<'static, Result<Vec<f32>>> + Send + Sync>;

/// How a question is asked. The default asks as [`super::Config`] says, by vector.
#[derive(Clone, Default)]
pub struct Asking {
    /// Passages wanted, 1 to 1000; `None` is the configuration's number.
    pub top_k: Option<usize>,
    /// How they are found.
    pub mode: Mode,
    /// Only passages of entries that it means; `None` means all.
    pub filter: Option<Filter>,
    /// How much passages should differ: 0 (not at all) to 1 (above all), by maximal marginal relevance.
    pub diversity: Option<f32>,
    /// Scores the candidates anew.
    pub rerank: Option<Rerank>,
    /// The least score of a passage: the reranker's if there is one, BM25 for [`Mode::Lexical`], else the
    /// similarity of the vectors.
    pub min_score: Option<f32>,
    /// The most tokens of all passages together, in a prompt.
    pub max_context_tokens: Option<usize>,
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking")
            .field("top_k", &self.top_k)
            .field("mode", &self.mode)
            .field("filter", &self.filter)
            .field("diversity", &self.diversity)
            .field("rerank", &self.rerank.is_some())
            .field("min_score", &self.min_score)
            .field("max_context_tokens", &self.max_context_tokens)
            .finish()
    }
}

impl Asking {
    /// As [`super::ParallelRag::ask`] asks.
    #[must_use]
    pub fn for_top(top_k: Option<usize>) -> Self {
        Self { top_k, ..Self::default() }
    }

    /// # Errors
    /// [`Kind::Validation`] naming the field that is out of its range.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(top_k) = self.top_k {
            check_top_k(top_k)?;
        }
        if let Some(diversity) = self.diversity
            && !(0.0..=1.0).contains(&diversity)
        {
            let value = diversity.to_string();
            return Err(Error::validation("diversity", Some(&value), "must be between 0 and 1"));
        }
        if self.min_score.is_some_and(f32::is_nan) {
            return Err(Error::validation("min_score", Some("nan"), "must be a number"));
        }
        at_least_one("max_context_tokens", self.max_context_tokens)
    }

    /// Whether something is chosen among more candidates than are wanted.
    fn chooses(&self) -> bool {
        self.rerank.is_some()
            || self.diversity.is_some()
            || (self.mode == Mode::Hybrid && self.min_score.is_some())
    }
}

/// Refuses what cannot be asked.
pub(super) fn check_question(question: &str) -> Result<()> {
    if question.trim().is_empty() {
        return Err(Error::validation("question", None, "must not be empty"));
    }
    Ok(())
}

impl Inner {
    /// Refuses questions to a store that is known to be empty.
    pub(super) fn check_filled(&self) -> Result<()> {
        if self.index.is_known_empty() { Err(nothing_ingested()) } else { Ok(()) }
    }

    /// The vectors of some questions, in their order.
    pub(super) async fn embed(&self, questions: Vec<String>) -> Result<Vec<Vec<f32>>> {
        let embedded = self.config.embedding.embed_many(questions).await?;
        self.embedded_tokens.fetch_add(embedded.usage.total_tokens, Ordering::Relaxed);
        Ok(embedded.vectors.iter().map(<[f32]>::to_vec).collect())
    }

    /// The passages for a question that has been checked; `vector` is the question's, unless words suffice.
    pub(super) async fn passages(
        self: &Arc<Self>,
        question: &str,
        vector: Vec<f32>,
        asking: &Asking,
    ) -> Result<Vec<Passage>> {
        let top_k = asking.top_k.unwrap_or(self.config.top_k);
        let limit = match asking.chooses() {
            true => {
                top_k.saturating_mul(CANDIDATES_A_PASSAGE).clamp(FEWEST_CANDIDATES, MOST_CANDIDATES)
            }
            false => top_k,
        };
        let sought = match asking.mode {
            Mode::Vector => Sought::Vector(vector),
            Mode::Lexical => Sought::Words(question.to_owned()),
            Mode::Hybrid => Sought::Both(vector, question.to_owned()),
        };
        let store = Arc::clone(&self.config.store);
        let mut candidates = store.candidates(sought, limit, asking.filter.clone()).run().await?;
        if candidates.is_empty() && self.index.chunks().await? == 0 {
            return Err(nothing_ingested());
        }
        if let Some(rerank) = asking.rerank.as_ref().filter(|_| !candidates.is_empty()) {
            candidates = reranked(rerank, question, candidates).await?;
        }
        if let Some(least) = asking.min_score {
            candidates.retain(|candidate| candidate.hit.score >= least);
        }
        match asking.diversity {
            Some(diversity) => {
                candidates = with_vectors(Arc::clone(&self.config.store), candidates).await?;
                let choose = move || Ok(diverse(candidates, diversity, top_k));
                candidates = runtime::spawn_blocking(choose).await?;
            }
            None => candidates.truncate(top_k),
        }
        Ok(candidates.iter().map(|candidate| passage(&candidate.hit)).collect())
    }
}

fn nothing_ingested() -> Error {
    Error::new(Kind::Store, "The store is empty: ingest documents before asking questions")
}

/// The candidates with their vectors; one that is gone meanwhile is none any more.
async fn with_vectors(
    store: Arc<dyn Store>,
    mut candidates: Vec<Candidate>,
) -> Result<Vec<Candidate>> {
    let lacking = |candidate: &&Candidate| candidate.vector.is_empty();
    let ids: Vec<String> =
        candidates.iter().filter(lacking).map(|it| it.hit.entry.id.clone()).collect();
    if ids.is_empty() {
        return Ok(candidates);
    }
    let mut vectors = store.vectors(ids).run().await?.into_iter();
    for candidate in candidates.iter_mut().filter(|candidate| candidate.vector.is_empty()) {
        candidate.vector = vectors.next().flatten().unwrap_or_default();
    }
    candidates.retain(|candidate| !candidate.vector.is_empty());
    Ok(candidates)
}

/// The candidates with their new scores, best first, equals in the order they had.
async fn reranked(
    rerank: &Rerank,
    question: &str,
    mut candidates: Vec<Candidate>,
) -> Result<Vec<Candidate>> {
    let texts = candidates.iter().map(|candidate| candidate.hit.entry.text.clone()).collect();
    let scores = rerank(question.to_owned(), texts).await?;
    if scores.len() != candidates.len() {
        let text = format!("{} scores for {} texts", scores.len(), candidates.len());
        return Err(Error::validation("rerank", None, &text));
    }
    if let Some(at) = scores.iter().position(|score| !score.is_finite()) {
        let text = format!("the score of text {at} is not a finite number");
        return Err(Error::validation("rerank", None, &text));
    }
    for (candidate, score) in candidates.iter_mut().zip(scores) {
        candidate.hit.score = score;
        candidate.relevance = score;
    }
    candidates.sort_by(|one, other| other.relevance.total_cmp(&one.relevance));
    Ok(candidates)
}
