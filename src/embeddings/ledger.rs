//! What one undertaking spends at a client that others may use as well: retries, and US dollars.
//!
//! It refuses to guess: after an answer whose price is not known the sum is not known either.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::client::EmbeddingClient;
use crate::cost;
use crate::types::EmbeddingUsage;

/// Retries and cost of the calls that were made with it; see [`EmbeddingClient::with_ledger`].
#[derive(Debug)]
pub struct Ledger {
    retries: AtomicU64,
    cost: Mutex<Option<f64>>,
}

impl Ledger {
    /// An empty one for calls of `client`. Without a price for any of its models the cost is never known.
    #[must_use]
    pub fn new(client: &EmbeddingClient) -> Self {
        let a_million = EmbeddingUsage { prompt_tokens: 1_000_000, total_tokens: 1_000_000 };
        let priced = client.routes().iter().any(|route| {
            cost::of_embeddings(route.model.provider(), route.model.model(), &a_million).is_some()
        });
        Self { retries: AtomicU64::new(0), cost: Mutex::new(priced.then_some(0.0)) }
    }

    /// Requests that were sent again because they had failed before.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// US dollars for all answers so far; `None` when a price or a count of tokens is missing.
    #[must_use]
    pub fn cost(&self) -> Option<f64> {
        *self.cost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answered(&self, provider: &str, model: &str, usage: &EmbeddingUsage) {
        let price = cost::of_embeddings(provider, model, usage);
        let mut sum = self.cost.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = sum.zip(price).map(|(sum, price)| sum + price);
    }
}
