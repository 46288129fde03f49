//! Single-flight: whoever asks for what is already being fetched waits for that.
//!
//! The work belongs to all who wait for it: one who leaves does not stop it, the last one does. It
//! refuses to keep anything: a flight ends with its answer, and an error is told to those present only.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use super::key::Unhashed;
use super::{Key, Origin};
use crate::error::{Error, Result};
use crate::runtime;

type Landing = std::result::Result<(Bytes, Origin), Arc<Mutex<Error>>>;
type Work = BoxFuture<'static, Landing>;

/// The flights under way. Holds a lock and wakers: one for each process.
#[derive(Default)]
pub(super) struct Flights {
    /// Weak, so that only those who wait keep the work alive.
    airborne: Mutex<HashMap<Key, (u64, WeakShared<Work>), Unhashed>>,
    numbers: AtomicU64,
}

/// A place on a flight; awaiting it drives the work.
pub(super) struct Seat {
    flight: Shared<Work>,
    /// Whether the flight was under way already.
    pub(super) joined: bool,
}

impl Seat {
    pub(super) async fn land(self) -> Result<(Bytes, Origin)> {
        self.flight.await.map_err(|shared| {
            let mut held = lock(&shared);
            let copy = held.duplicate();
            // The first to come takes the original with its source.
            std::mem::replace(&mut *held, copy)
        })
    }
}

/// Takes the flight off the board, whether it landed or all have left.
struct Departure {
    flights: Arc<Flights>,
    generation: u64,
    key: Key,
    number: u64,
}

impl Drop for Departure {
    fn drop(&mut self) {
        // In a forked child the board is the parent's, and its lock may be held for ever.
        if self.generation != runtime::generation() {
            return;
        }
        let mut airborne = lock(&self.flights.airborne);
        if airborne.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            airborne.remove(&self.key);
        }
    }
}

impl Flights {
    /// Joins the flight of `key`, or begins one with what `work` makes. A panic, of `work` or of what it
    /// makes, becomes an error of kind [`crate::Kind::Internal`].
    pub(super) fn board<F>(self: &Arc<Self>, key: Key, work: impl FnOnce() -> F) -> Seat
    where
        F: Future<Output = Result<(Bytes, Origin)>> + Send + 'static,
    {
        if let Some(flight) = self.under_way(&key) {
            return Seat { flight, joined: true };
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let departure =
            Departure { flights: Arc::clone(self), generation: runtime::generation(), key, number };
        let work = std::panic::catch_unwind(AssertUnwindSafe(work));
        let flight = async move {
            let _departure = departure;
            let outcome = match work {
                Ok(work) => AssertUnwindSafe(work).catch_unwind().await,
                Err(panic) => Err(panic),
            };
            outcome
                .unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref())))
                .map_err(|error| Arc::new(Mutex::new(error)))
        };
        let flight = flight.boxed().shared();
        // User code ran since the first look, so it was not done under the lock.
        let mut airborne = lock(&self.airborne);
        if let Some(earlier) = airborne.get(&key).and_then(|(_, weak)| weak.upgrade()) {
            drop(airborne);
            return Seat { flight: earlier, joined: true };
        }
        if let Some(weak) = flight.downgrade() {
            airborne.insert(key, (number, weak));
        }
        drop(airborne);
        Seat { flight, joined: false }
    }

    fn under_way(&self, key: &Key) -> Option<Shared<Work>> {
        lock(&self.airborne).get(key).and_then(|(_, weak)| weak.upgrade())
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        lock(&self.airborne).len()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
