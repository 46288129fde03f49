//! Single-flight: whoever asks for what is already being fetched waits for that.
//!
//! The first to ask drives the work, as its own future would; the others only wait. The work still belongs to
//! all of them: when the one who drives it leaves, another goes on with it, and when the last one leaves, it
//! ends. It refuses to keep anything: a flight ends with its answer, and an error is told to those present only.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::kept::Anything;
use super::key::Unhashed;
use super::{Key, Origin};
use crate::error::{Error, Result};
use crate::runtime;

type Landing = Result<(Anything, Origin)>;
type Work = BoxFuture<'static, Landing>;
/// Weak, so that only those who wait keep a flight alive.
type Airborne = HashMap<Key, Weak<Flight>, Unhashed>;

/// The flights under way. Holds a lock and wakers: one for each process.
#[derive(Default)]
pub(super) struct Flights(Mutex<Airborne>);

/// What all who wait for one answer share.
struct Flight {
    flights: Arc<Flights>,
    generation: u64,
    key: Key,
    state: Mutex<State>,
    /// The state is not that of a driven flight any more.
    changed: Notify,
}

enum State {
    /// Somebody drives it.
    Driven,
    /// Who drove it has left; the next one goes on.
    Adrift(Work),
    Landed(Landing),
}

/// A place on a flight; awaiting it drives the work, or waits for whoever does.
pub(super) struct Seat {
    flight: Arc<Flight>,
    /// For the one who drives it.
    work: Option<Work>,
}

impl Seat {
    /// Whether the flight was under way already.
    pub(super) const fn joined(&self) -> bool {
        self.work.is_none()
    }

    pub(super) async fn land(mut self) -> Landing {
        loop {
            if let Some(work) = &mut self.work {
                let landing = AssertUnwindSafe(work).catch_unwind().await;
                self.work = None;
                let landing = landing.unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref())));
                return self.flight.end(landing);
            }
            let changed = Arc::clone(&self.flight);
            let mut changed = pin!(changed.changed.notified());
            // Listening before looking, so that no change falls between the two.
            changed.as_mut().enable();
            match self.flight.look() {
                Some(Ok(work)) => self.work = Some(work),
                Some(Err(landing)) => return landing,
                None => changed.await,
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            *lock(&self.flight.state) = State::Adrift(work);
            self.flight.changed.notify_waiters();
        }
    }
}

impl Flight {
    /// The work, if nobody drives it, or what came of it.
    fn look(&self) -> Option<std::result::Result<Work, Landing>> {
        let mut state = lock(&self.state);
        if let State::Landed(landing) = &*state {
            return Some(Err(copy(landing)));
        }
        match std::mem::replace(&mut *state, State::Driven) {
            State::Adrift(work) => Some(Ok(work)),
            _ => None,
        }
    }

    /// Takes the flight off the board and tells those who wait.
    fn end(self: &Arc<Self>, landing: Landing) -> Landing {
        self.depart();
        // Nobody can join any more: whoever waits holds a share by now.
        if Arc::strong_count(self) > 1 {
            *lock(&self.state) = State::Landed(copy(&landing));
            self.changed.notify_waiters();
        }
        landing
    }

    fn depart(&self) {
        // In a forked child the board is the parent's, and its lock may be held for ever.
        if self.generation != runtime::generation() {
            return;
        }
        let mut airborne = lock(&self.flights.0);
        if airborne.get(&self.key).is_some_and(|flight| std::ptr::eq(flight.as_ptr(), self)) {
            airborne.remove(&self.key);
        }
    }
}

impl Drop for Flight {
    /// All have left before it landed, or it has landed and this finds nothing.
    fn drop(&mut self) {
        if !matches!(self.state.get_mut().unwrap_or_else(PoisonError::into_inner), State::Driven) {
            self.depart();
        }
    }
}

impl Flights {
    /// Joins the flight of `key`, or begins one with what `work` makes, which does nothing before it is polled.
    pub(super) fn board<F>(self: &Arc<Self>, key: Key, work: impl FnOnce() -> F) -> Seat
    where
        F: Future<Output = Landing> + Send + 'static,
    {
        if let Some(flight) = lock(&self.0).get(&key).and_then(Weak::upgrade) {
            return Seat { flight, work: None };
        }
        let work = work().boxed();
        let flight = Arc::new(Flight {
            flights: Arc::clone(self),
            generation: runtime::generation(),
            key,
            state: Mutex::new(State::Driven),
            changed: Notify::new(),
        });
        let mut airborne = lock(&self.0);
        if let Some(flight) = airborne.get(&key).and_then(Weak::upgrade) {
            drop(airborne);
            return Seat { flight, work: None };
        }
        airborne.insert(key, Arc::downgrade(&flight));
        drop(airborne);
        Seat { flight, work: Some(work) }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        lock(&self.0).len()
    }
}

/// For the next who waits; a copy of an error has no source.
fn copy(landing: &Landing) -> Landing {
    match landing {
        Ok(landed) => Ok(landed.clone()),
        Err(error) => Err(error.duplicate()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
