//! One client's part of a cache that several may share.

use super::{Cache, Key, KeyBuilder};

/// A cache, and what tells this client's entries from those of others: everything but the question that
/// changes an answer.
#[derive(Clone, Debug)]
pub struct Shelf {
    cache: Cache,
    /// What all its keys begin with.
    base: Key,
}

impl Shelf {
    /// The part of `cache` that belongs to `identity`; see [`KeyBuilder::new`] for `domain`.
    #[must_use]
    pub fn new(cache: Cache, domain: &str, identity: &str) -> Self {
        Self { cache, base: KeyBuilder::new(domain).part(identity.as_bytes()).finish() }
    }

    /// The whole of it.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// For the key of a question in this part, of about so many bytes.
    #[must_use]
    pub fn key(&self, room: usize) -> KeyBuilder {
        KeyBuilder::below(&self.base, room)
    }
}
