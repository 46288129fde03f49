//! Answers kept: in memory, in one file, and while they are still on their way.
//!
//! The outermost layer of a call. It knows neither chat nor vectors: clients hash what makes an answer
//! what it is into a [`Key`], and an answer says how it is written ([`Kept`]). It refuses to cache errors, to
//! trust a file, and to fail a call: without a usable file it is a cache in memory.
//!
//! Answers are kept as they are written, in memory too: one piece, and less than one takes with all its texts
//! and maps. Those who wait for the same answer share it as it is.
//!
//! | kept | bounded by | lives as long as |
//! |---|---|---|
//! | in memory | [`CacheSettings::max_bytes`] | the process; a forked child begins with none |
//! | in the file | [`CacheSettings::ttl`] | the file; any number of processes share it |
//! | on its way ([`Cache::share`]) | those who wait | the slowest of them |
//!
//! An entry is in the file when [`Cache::put_many`] returns: killing the process then loses nothing, a power
//! cut perhaps the last moments. A process forked from one that had used a cache file works without the
//! file, because SQLite does not survive a fork; one that was forked earlier, or started anew, uses it.
//!
//! Memory is `quick_cache` rather than `moka`: ten times faster at a tenth of the size, and the time to
//! live that it lacks is one comparison.
//!
//! ```
//! use bytes::Bytes;
//! use graphbit::cache::{Cache, CacheSettings, KeyBuilder, Origin};
//!
//! let cache = Cache::new(CacheSettings::default())?;
//! let key = KeyBuilder::new("greeting 1").part(b"world").finish();
//! let other = cache.clone();
//! let (first, second) = graphbit::runtime::block_on(async move {
//!     let first = other.share(key, || async { Ok(Bytes::from("hello")) }).await?;
//!     let second = other.share(key, || async { Ok(Bytes::from("never asked")) }).await?;
//!     Ok((first, second))
//! })?;
//! assert_eq!((&first.0[..], first.1), (&b"hello"[..], Origin::Fresh));
//! assert_eq!((&second.0[..], second.1), (&b"hello"[..], Origin::Memory));
//! # Ok::<(), graphbit::Error>(())
//! ```

mod database;
mod disk;
mod flight;
mod kept;
mod key;
mod memory;
mod settings;
mod shelf;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::error::{Error, Kind, Result};
use crate::runtime::PerProcess;
use database::Stored;
use disk::{Change, Disk};
use flight::Flights;
use kept::{Anything, of_type};
use memory::Memory;

pub use kept::Kept;
pub use key::{Key, KeyBuilder};
pub use settings::{CacheSettings, Completions};
pub use shelf::Shelf;

/// A cache; cloning it shares it.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    settings: CacheSettings,
    counters: Counters,
    memory: PerProcess<Memory>,
    flights: PerProcess<Arc<Flights>>,
    disk: Option<Disk>,
}

/// Atomics only, so a forked child goes on from its parent's numbers.
#[derive(Default)]
struct Counters {
    memory_hits: AtomicU64,
    disk_hits: AtomicU64,
    shared: AtomicU64,
    misses: AtomicU64,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Kept in memory.
    Memory,
    /// Kept in the file.
    Disk,
    /// Somebody else was getting it already.
    Shared,
    /// Made for this call.
    Fresh,
}

/// What a [`Cache`] has done and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CacheStats {
    /// Lookups answered from memory or the file.
    pub hits: u64,
    /// Of these, from the file.
    pub disk_hits: u64,
    /// Lookups answered by work that was under way for somebody else.
    pub shared: u64,
    /// Lookups that found nothing.
    pub misses: u64,
    /// Entries in memory, expired ones included until they are asked for.
    pub memory_entries: usize,
    /// Bytes of these, keys and bookkeeping included.
    pub memory_bytes: u64,
    /// `(hits + shared) / (hits + shared + misses)`; 0.0 before the first lookup.
    pub hit_ratio: f64,
}

impl Cache {
    /// Opens nothing: file and threads come with the first lookup that needs them.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] when `ttl` is zero or `path` cannot name a file.
    pub fn new(settings: CacheSettings) -> Result<Self> {
        settings.validate()?;
        let max_bytes = settings.max_bytes;
        Ok(Self(Arc::new(Inner {
            counters: Counters::default(),
            memory: PerProcess::new(move || Memory::new(max_bytes)),
            flights: PerProcess::new(Arc::default),
            disk: settings.path.as_deref().map(|path| Disk::new(path, settings.ttl)),
            settings,
        })))
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &CacheSettings {
        &self.0.settings
    }

    /// Looks into memory only, at once. A hit is counted; a miss is not, because whoever misses here goes
    /// on to ask with [`Self::get`] or [`Self::bring`], which count it.
    #[must_use]
    pub fn peek<T: Kept>(&self, key: &Key) -> Option<T> {
        let answer = T::read(&self.0.memory.get().get(key)?)?;
        self.0.counters.memory_hits.fetch_add(1, Ordering::Relaxed);
        Some(answer)
    }

    /// Looks into memory, then into the file.
    pub async fn get<T: Kept>(&self, key: &Key) -> Option<T> {
        if let Some(answer) = self.peek(key) {
            return Some(answer);
        }
        self.get_many(std::slice::from_ref(key)).await.pop().flatten()
    }

    /// One answer for each key in order. The file is asked once for all that memory does not hold.
    pub async fn get_many<T: Kept>(&self, keys: &[Key]) -> Vec<Option<T>> {
        let counters = &self.0.counters;
        let mut found: Vec<_> = keys.iter().map(|key| self.peek(key)).collect();
        let mut missing = found.iter().filter(|slot| slot.is_none()).count();
        if let Some(disk) = self.0.disk.as_ref().filter(|_| missing > 0) {
            let absent = found.iter().zip(keys).filter(|(slot, _)| slot.is_none());
            let read = disk.read(absent.map(|(_, key)| *key).collect()).await;
            let absent = found.iter_mut().zip(keys).filter(|(slot, _)| slot.is_none());
            for ((slot, key), stored) in absent.zip(read) {
                *slot = stored.and_then(|stored| self.remember(*key, stored));
                missing = missing.saturating_sub(usize::from(slot.is_some()));
            }
        }
        counters.misses.fetch_add(missing as u64, Ordering::Relaxed);
        found
    }

    /// An entry of the file as an answer, in memory from now on.
    fn remember<T: Kept>(&self, key: Key, stored: Stored) -> Option<T> {
        let answer = T::read(&stored.value)?;
        self.0.memory.get().put(key, stored.value, stored.left);
        self.0.counters.disk_hits.fetch_add(1, Ordering::Relaxed);
        Some(answer)
    }

    /// Keeps answers as [`Kept::write`] writes them, in memory, and returns when they are in the file too, if
    /// there is one and it works.
    pub async fn put_many(&self, entries: impl IntoIterator<Item = (Key, Bytes)>) {
        let Inner { settings, memory, disk, .. } = &*self.0;
        let memory = memory.get();
        let Some(disk) = disk else {
            entries.into_iter().for_each(|(key, entry)| memory.put(key, entry, settings.ttl));
            return;
        };
        let entries: Vec<_> = entries.into_iter().collect();
        for (key, entry) in &entries {
            memory.put(*key, entry.clone(), settings.ttl);
        }
        if !entries.is_empty() {
            // In a box, as in `fetch`: without a file nothing need hold the room for writing to one.
            Box::pin(disk.write(Change::Put(entries))).await;
        }
    }

    /// The cached answer, or that of the work under way for the same key, or else what `work` brings, which
    /// is kept before anybody gets it.
    ///
    /// The work belongs to all who wait for it: a caller that is dropped does not stop it, the last one
    /// does. `work` is not called when the file holds the answer.
    ///
    /// # Errors
    /// That of the work, for all who wait; it is not kept, so the next call works again. One of them gets
    /// the error with its source, the others without. [`crate::Kind::Internal`] when the work panics.
    pub async fn share<T, F>(
        &self,
        key: Key,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Result<(Arc<T>, Origin)>
    where
        T: Kept,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        if let Some(answer) = self.peek(&key) {
            return Ok((Arc::new(answer), Origin::Memory));
        }
        self.bring(key, work).await
    }

    /// As [`Self::share`], for a caller whose [`Self::peek`] has just found nothing.
    ///
    /// # Errors
    /// As [`Self::share`].
    pub async fn bring<T, F>(
        &self,
        key: Key,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Result<(Arc<T>, Origin)>
    where
        T: Kept,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let seat = self.0.flights.get().board(key, || self.clone().fetch(key, work));
        let joined = seat.joined();
        if joined {
            self.0.counters.shared.fetch_add(1, Ordering::Relaxed);
        }
        let (answer, origin) = seat.land().await?;
        let answer = of_type(answer).ok_or_else(|| {
            Error::new(Kind::Internal, "Internal error: another type of answer has this key")
        })?;
        Ok((answer, if joined { Origin::Shared } else { origin }))
    }

    /// Takes what makes the work rather than the work, which so is made in its place and never moved.
    async fn fetch<T, F>(
        self,
        key: Key,
        work: impl FnOnce() -> F + Send,
    ) -> Result<(Anything, Origin)>
    where
        T: Kept,
        F: Future<Output = Result<T>> + Send,
    {
        let Inner { counters, disk, .. } = &*self.0;
        // An earlier flight may have landed between the caller's look and its boarding.
        if let Some(answer) = self.peek::<T>(&key) {
            return Ok((Arc::new(answer), Origin::Memory));
        }
        // In a box: without a file nothing need hold the room for asking one.
        if let Some(disk) = disk {
            let asked = Box::pin(disk.read(vec![key])).await;
            let stored = asked.into_iter().next().flatten();
            if let Some(answer) = stored.and_then(|stored| self.remember::<T>(key, stored)) {
                return Ok((Arc::new(answer), Origin::Disk));
            }
        }
        counters.misses.fetch_add(1, Ordering::Relaxed);
        let answer = work().await?;
        if let Some(entry) = answer.write() {
            self.put_many([(key, entry)]).await;
        }
        Ok((Arc::new(answer), Origin::Fresh))
    }

    /// Forgets every entry, in memory and in the file, for all processes that share it. The counters go
    /// on; so does work under way, which keeps its answer.
    pub async fn clear(&self) {
        self.0.memory.get().clear();
        if let Some(disk) = &self.0.disk {
            disk.write(Change::Clear).await;
        }
    }

    /// The numbers now.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub fn stats(&self) -> CacheStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.0.counters;
        let (disk_hits, shared) = (count(&counters.disk_hits), count(&counters.shared));
        let hits = count(&counters.memory_hits).saturating_add(disk_hits);
        let misses = count(&counters.misses);
        let answered = hits.saturating_add(shared);
        let lookups = answered.saturating_add(misses);
        let (memory_entries, memory_bytes) = self.0.memory.get().size();
        CacheStats {
            hits,
            disk_hits,
            shared,
            misses,
            memory_entries,
            memory_bytes,
            hit_ratio: if lookups == 0 { 0.0 } else { answered as f64 / lookups as f64 },
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}
