//! One client's part of a cache that several may share.

use std::sync::Arc;

use super::{Cache, Key, KeyBuilder};

/// A cache, and what tells this client's entries from those of others: everything but the question that
/// changes an answer.
#[derive(Clone, Debug)]
pub struct Shelf {
    cache: Cache,
    identity: Arc<str>,
}

impl Shelf {
    /// The part of `cache` that belongs to `identity`.
    #[must_use]
    pub fn new(cache: Cache, identity: &str) -> Self {
        Self { cache, identity: Arc::from(identity) }
    }

    /// The whole of it.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The key of `question` in this part; see [`KeyBuilder::new`] for `domain`.
    #[must_use]
    pub fn key(&self, domain: &str, question: &[u8]) -> Key {
        KeyBuilder::new(domain).part(self.identity.as_bytes()).part(question).finish()
    }
}
