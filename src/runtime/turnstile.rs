//! Wakes finished waiters one after another, because they all head for the same lock.
//!
//! A thread that comes back from a wait usually needs the interpreter next. Woken all at once, dozens of
//! threads queue for it a second time and pay a sleep and a wake-up each. Here a thread is only woken
//! when it is nearly its turn; whoever has got the lock drops its [`Turn`], which wakes the next.
//!
//! It refuses to hold anybody up. A lock that is long in coming belongs to a thread that computes, and gives it
//! up only every few milliseconds; whoever waits for it then may as well have it in a row. So a turn that takes
//! long lets everybody through.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};
use std::{future::Future, pin::pin};

use super::task::Task;
use crate::error::Result;

/// Threads between their wake-up and the end of their turn. A turn ends when the lock is held, so that the next thread
/// wakes up while the lock is in use; a second would have to sleep again.
const ADMITTED: usize = 1;
/// A turn that takes longer has met a thread that computes: that keeps CPython's lock for 5 ms. A wake-up and a short
/// use of the lock take a tenth of this.
const LONG: Duration = Duration::from_micros(500);

/// One for each runtime generation: a forked child must not inherit a queue of threads it lacks.
#[derive(Default)]
pub(super) struct Turnstile {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    admitted: usize,
    /// When the present turn began.
    since: Option<Instant>,
    queue: VecDeque<Arc<Waiter>>,
}

impl State {
    /// Takes out of the queue whoever may go now.
    fn let_through(&mut self, now: Instant) -> VecDeque<Arc<Waiter>> {
        let long = self.since.is_some_and(|since| now.saturating_duration_since(since) > LONG);
        let going = if long {
            std::mem::take(&mut self.queue)
        } else {
            let room = ADMITTED.saturating_sub(self.admitted).min(self.queue.len());
            self.queue.drain(..room).collect()
        };
        if !going.is_empty() {
            self.admitted += going.len();
            self.since = Some(now);
        }
        going
    }
}

struct Waiter {
    thread: Thread,
    admitted: AtomicBool,
    turnstile: &'static Turnstile,
}

impl Wake for Waiter {
    fn wake(self: Arc<Self>) {
        let turnstile = self.turnstile;
        turnstile.change(|state| state.queue.push_back(self));
    }
}

impl Waiter {
    fn admit(&self) {
        self.admitted.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Turnstile {
    /// Changes the state, and then wakes whoever may go, without the lock.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let going = state.let_through(now);
        drop(state);
        going.iter().for_each(|waiter| waiter.admit());
    }

    /// Parks until `task` is done and it is this thread's turn. Drop the turn once the lock that
    /// everybody wants is held, or is not wanted after all.
    pub(super) fn wait<T>(&'static self, task: Task<T>) -> (Result<T>, Option<Turn>) {
        let mut task = pin!(task);
        let waiter = Arc::new(Waiter {
            thread: std::thread::current(),
            admitted: AtomicBool::new(false),
            turnstile: self,
        });
        let waker = Waker::from(Arc::clone(&waiter));
        let mut context = Context::from_waker(&waker);
        let mut turn = None;
        loop {
            if let Poll::Ready(result) = task.as_mut().poll(&mut context) {
                return (result, turn);
            }
            // A wake-up without an answer: the turn goes to the next.
            drop(turn.take());
            while !waiter.admitted.swap(false, Ordering::Acquire) {
                std::thread::park();
            }
            turn = Some(Turn(self));
        }
    }
}

/// The right to go for the lock. Dropping it wakes the next waiter.
#[must_use = "dropping the turn wakes the next thread"]
pub struct Turn(&'static Turnstile);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.change(|state| state.admitted = state.admitted.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiters(count: usize) -> impl Iterator<Item = Arc<Waiter>> {
        let turnstile: &'static Turnstile = Box::leak(Box::default());
        let thread = std::thread::current();
        let waiter = move || Waiter { thread: thread.clone(), admitted: false.into(), turnstile };
        std::iter::repeat_with(waiter).map(Arc::new).take(count)
    }

    #[test]
    fn one_goes_after_the_other() {
        let mut state = State::default();
        let mut now = Instant::now();
        state.queue.extend(waiters(3));
        assert_eq!(state.let_through(now).len(), 1);
        assert_eq!(state.let_through(now + LONG).len(), 0, "the first still has its turn");
        for left in [1, 0] {
            now += LONG;
            state.admitted -= 1;
            assert_eq!((state.let_through(now).len(), state.queue.len()), (1, left));
        }
    }

    #[test]
    fn a_long_turn_lets_everybody_through() {
        let mut state = State::default();
        let start = Instant::now();
        state.queue.extend(waiters(9));
        assert_eq!(state.let_through(start).len(), 1);
        let late = start + LONG * 2;
        assert_eq!((state.let_through(late).len(), state.admitted), (8, 9));
        // From here on the time runs anew, and nobody goes before the crowd has gone.
        state.queue.extend(waiters(2));
        assert_eq!(state.let_through(late + LONG).len(), 0);
        state.admitted = 0;
        assert_eq!(state.let_through(late + LONG).len(), 1);
    }
}
