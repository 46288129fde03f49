//! Bytes kept for what is asked again.
//!
//! To write 1536 numbers down costs more than the rest of a request, and a benchmark that repeats one is about
//! the client. It refuses to grow: at its bound it forgets everything.
//!
//! ```text
//! static ANSWERS: LazyLock<Kept<u64>> = LazyLock::new(|| Kept::up_to(4 << 20));
//! ANSWERS.get(&key).unwrap_or_else(|| ANSWERS.put(key, write()))
//! ```

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

pub(crate) struct Kept<Key> {
    bound: usize,
    entries: Mutex<Entries<Key>>,
}

struct Entries<Key> {
    by_key: HashMap<Key, Bytes>,
    bytes: usize,
}

impl<Key: Hash + Eq> Kept<Key> {
    /// Keeps at most so many bytes.
    pub(crate) fn up_to(bound: usize) -> Self {
        Self { bound, entries: Mutex::new(Entries { by_key: HashMap::new(), bytes: 0 }) }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Bytes> {
        self.entries().by_key.get(key).cloned()
    }

    /// Keeps `bytes`, if there can be room for them, and gives them back.
    pub(crate) fn put(&self, key: Key, bytes: Vec<u8>) -> Bytes {
        let bytes = Bytes::from(bytes);
        if bytes.len() <= self.bound {
            let mut entries = self.entries();
            if entries.bytes + bytes.len() > self.bound {
                entries.by_key.clear();
                entries.bytes = 0;
            }
            entries.bytes += bytes.len();
            let before = entries.by_key.insert(key, bytes.clone());
            entries.bytes -= before.map_or(0, |before| before.len());
        }
        bytes
    }

    fn entries(&self) -> MutexGuard<'_, Entries<Key>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_within_the_bound() {
        let kept = Kept::up_to(9);
        for key in [0, 1, 1, 2] {
            assert_eq!(kept.put(key, vec![0; 3]).len(), 3);
        }
        assert!((0..3).all(|key| kept.get(&key).is_some()));
        assert_eq!(kept.put(3, vec![0; 10]).len(), 10);
        assert!(kept.get(&0).is_some() && kept.get(&3).is_none());
        kept.put(4, vec![0; 3]);
        let there: Vec<i32> = (0..5).filter(|key| kept.get(key).is_some()).collect();
        assert_eq!(there, [4]);
    }
}
