//! Entries in memory, bounded by bytes. Neither counts nor waits.

use std::time::Duration;

use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use tokio::time::Instant;

use super::Key;
use super::key::Unhashed;

/// What an entry takes beside its value: key, value handle, expiry, list links, hash slot and the heap's
/// own headers, rounded up.
const OVERHEAD: usize = 192;
/// Each shard has a lock and an equal share of the bytes. Few, so that a share holds a large value;
/// readers do not exclude each other anyway.
const SHARDS: usize = 4;
/// A value that fills more than half of a shard would throw out all its neighbours.
const LARGEST_SHARE: usize = 2 * SHARDS;
/// Only sizes the list of keys that were thrown out lately; being wrong costs a few hits.
const TYPICAL_ENTRY: usize = 4096;

#[derive(Clone)]
struct Entry {
    value: Bytes,
    /// The crate below keeps no time; one comparison at each read does.
    expires: Option<Instant>,
}

#[derive(Clone)]
struct Bytewise;

impl Weighter<Key, Entry> for Bytewise {
    fn weight(&self, _: &Key, entry: &Entry) -> u64 {
        entry.value.len().saturating_add(OVERHEAD) as u64
    }
}

/// Holds locks: one for each process.
pub(super) struct Memory {
    entries: Cache<Key, Entry, Bytewise, Unhashed>,
    largest: usize,
}

impl Memory {
    pub(super) fn new(max_bytes: usize) -> Self {
        let mut options = OptionsBuilder::new();
        options
            .shards(SHARDS)
            .estimated_items_capacity((max_bytes / TYPICAL_ENTRY).max(32 * SHARDS))
            // The crate rounds each share up.
            .weight_capacity((max_bytes - max_bytes % SHARDS) as u64);
        let hasher = Unhashed::default();
        let entries = match options.build() {
            Ok(options) => {
                Cache::with_options(options, Bytewise, hasher, DefaultLifecycle::default())
            }
            // Only a missing capacity is refused, and both are given.
            Err(_) => Cache::with(0, 0, Bytewise, hasher, DefaultLifecycle::default()),
        };
        Self { entries, largest: max_bytes / LARGEST_SHARE }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Bytes> {
        let entry = self.entries.get(key)?;
        if entry.expires.is_some_and(|moment| moment <= Instant::now()) {
            // Another thread may have put a fresh one meanwhile.
            self.entries.remove_if(key, |now| now.expires == entry.expires);
            return None;
        }
        Some(entry.value)
    }

    /// Counts the value's own bytes; a slice would keep the whole buffer alive that it was cut from.
    pub(super) fn put(&self, key: Key, value: Bytes, left: Option<Duration>) {
        if value.len().saturating_add(OVERHEAD) > self.largest {
            self.entries.remove(&key);
            return;
        }
        let expires = left.and_then(|left| Instant::now().checked_add(left));
        self.entries.insert(key, Entry { value, expires });
    }

    pub(super) fn clear(&self) {
        self.entries.clear();
    }

    /// Entries and bytes, expired ones included until somebody asks for them.
    pub(super) fn size(&self) -> (usize, u64) {
        (self.entries.len(), self.entries.weight())
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what #[tokio::test] expands to")]
mod tests {
    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;
    use crate::cache::KeyBuilder;

    fn key(number: usize) -> Key {
        KeyBuilder::new("test").part(&number.to_le_bytes()).finish()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn whatever_is_put_the_bound_holds(
            max_bytes in 0_usize..200_000,
            lengths in prop::collection::vec(0_usize..30_000, 1..200),
        ) {
            let memory = Memory::new(max_bytes);
            for (number, length) in lengths.iter().enumerate() {
                memory.put(key(number % 150), vec![7; *length].into(), None);
                prop_assert!(memory.size().1 <= max_bytes as u64);
            }
        }
    }

    #[test]
    fn ten_times_the_bound_is_put_and_most_of_the_bound_is_used() {
        let memory = Memory::new(1 << 20);
        for number in 0..10_000 {
            memory.put(key(number), vec![1; 1024].into(), None);
        }
        let (entries, bytes) = memory.size();
        assert!(bytes <= 1 << 20, "{bytes}");
        assert!(entries > 700, "{entries} entries of about 850");
    }

    #[test]
    fn a_value_out_of_proportion_is_not_kept_and_takes_its_predecessor_along() {
        let memory = Memory::new(80_000);
        memory.put(key(1), "small".into(), None);
        memory.put(key(2), vec![0; 9_000].into(), None);
        assert!(memory.get(&key(2)).is_some());
        memory.put(key(1), vec![0; 10_000].into(), None);
        assert_eq!(memory.get(&key(1)), None, "the small value is out of date");
        assert!(memory.get(&key(2)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_ends_with_its_time_and_a_fresh_one_starts_anew() {
        let memory = Memory::new(1 << 20);
        memory.put(key(1), "one".into(), Some(Duration::from_secs(10)));
        memory.put(key(2), "two".into(), None);
        advance(Duration::from_secs(9)).await;
        assert_eq!(memory.get(&key(1)).as_deref(), Some(&b"one"[..]));
        advance(Duration::from_secs(1)).await;
        assert_eq!(memory.get(&key(1)), None);
        assert_eq!(memory.size().0, 1, "what is found expired is removed");
        memory.put(key(1), "new".into(), Some(Duration::from_secs(10)));
        advance(Duration::from_secs(9)).await;
        assert_eq!(memory.get(&key(1)).as_deref(), Some(&b"new"[..]));
        assert_eq!(memory.get(&key(2)).as_deref(), Some(&b"two"[..]));
    }
}
