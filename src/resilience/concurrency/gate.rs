//! The line in front of the limit: who is in, who waits, in which order.
//!
//! A grant travels as a [`Slot`] through the waiting caller's channel, so that it cannot be lost: a
//! caller that leaves just then drops the slot, and dropping a slot hands it on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::{ConcurrencySnapshot, Controller, Outcome, Sample};
use crate::runtime;

/// One process's line and limit.
#[derive(Debug)]
pub(super) struct Gate {
    generation: u64,
    /// Held for a few instructions, never across an await or a wake-up.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    controller: Controller,
    in_flight: usize,
    next_ticket: u64,
    /// By ticket, so that the first is the longest in line and a caller can leave from the middle.
    line: BTreeMap<u64, oneshot::Sender<Slot>>,
}

/// Leave for one attempt. Dropped without [`Slot::finish`] (a cancelled attempt) it says nothing about
/// the server.
#[derive(Debug)]
#[must_use = "dropping the slot gives it back"]
pub struct Slot {
    gate: Arc<Gate>,
    started: Instant,
    not_before: Option<Instant>,
    outcome: Option<Outcome>,
}

/// A place in the line; dropping it leaves.
pub(super) struct Place {
    gate: Arc<Gate>,
    ticket: u64,
    granted: oneshot::Receiver<Slot>,
}

impl State {
    fn has_room(&self, now: Instant) -> bool {
        self.controller.room(now).is_none_or(|room| self.in_flight < room)
    }

    /// `crowded`: the caller had to wait in line.
    fn admit(&mut self, gate: &Arc<Gate>, now: Instant, crowded: bool) -> Slot {
        self.in_flight = self.in_flight.saturating_add(1);
        let not_before = self.controller.start(now, crowded);
        Slot { gate: Arc::clone(gate), started: now, not_before, outcome: None }
    }

    /// The first in line with its slot, when there is room.
    fn admit_next(
        &mut self,
        gate: &Arc<Gate>,
        now: Instant,
    ) -> Option<(oneshot::Sender<Slot>, Slot)> {
        if self.line.is_empty() || !self.has_room(now) {
            return None;
        }
        let (_, caller) = self.line.pop_first()?;
        Some((caller, self.admit(gate, now, true)))
    }
}

impl Gate {
    pub(super) fn new(controller: Controller) -> Self {
        let state = State { controller, in_flight: 0, next_ticket: 0, line: BTreeMap::new() };
        Self { generation: runtime::generation(), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn snapshot(&self) -> ConcurrencySnapshot {
        let state = self.lock();
        ConcurrencySnapshot {
            limit: state.controller.limit(),
            in_flight: state.in_flight,
            waiting: state.line.len(),
        }
    }

    /// A slot at once, or a place in the line.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Slot, Place> {
        let now = Instant::now();
        let mut state = self.lock();
        if state.line.is_empty() && state.has_room(now) {
            return Ok(state.admit(self, now, false));
        }
        let ticket = state.next_ticket;
        state.next_ticket = ticket.wrapping_add(1);
        let (caller, granted) = oneshot::channel();
        state.line.insert(ticket, caller);
        drop(state);
        // Room may have come with time alone, while nobody finished.
        self.hand_on(now);
        Err(Place { gate: Arc::clone(self), ticket, granted })
    }

    fn hand_on(self: &Arc<Self>, now: Instant) {
        loop {
            let next = self.lock().admit_next(self, now);
            let Some((caller, slot)) = next else { return };
            // What a caller that has just left cannot take is dropped here, and thereby handed on.
            drop(caller.send(slot));
        }
    }

    fn release(self: &Arc<Self>, started: Instant, outcome: Option<Outcome>) {
        // A slot that a forked child inherited: the line it belongs to is the parent's.
        if self.generation != runtime::generation() {
            return;
        }
        let now = Instant::now();
        let mut state = self.lock();
        let (in_flight, waiting) = (state.in_flight, state.line.len());
        let decision = outcome.and_then(|outcome| {
            state.controller.observe(&Sample { outcome, started, now, in_flight, waiting })
        });
        state.in_flight = in_flight.saturating_sub(1);
        let next = state.admit_next(self, now);
        drop(state);
        if let Some(decision) = decision {
            decision.log();
        }
        if let Some((caller, slot)) = next {
            drop(caller.send(slot));
            self.hand_on(now);
        }
    }
}

impl Place {
    /// Waits for the grant. `None` would mean that the line itself is gone.
    pub(super) async fn wait(mut self) -> Option<Slot> {
        (&mut self.granted).await.ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.gate.generation == runtime::generation() {
            let left = self.gate.lock().line.remove(&self.ticket);
            drop(left);
        }
    }
}

impl Slot {
    /// Waits until the slot may be used, and starts its clock.
    pub(super) async fn begin(mut self) -> Self {
        if let Some(at) = self.not_before.take() {
            sleep_until(at).await;
        }
        self.started = Instant::now();
        self
    }

    /// Gives the slot back and says how the attempt ended. The time since [`super::Concurrency::acquire`]
    /// returned is its latency.
    pub fn finish(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.gate.release(self.started, self.outcome);
    }
}
