//! The circuit breaker: after enough failed calls in a row, calls are refused for a while.
//!
//! Only atomics, because a lock held by another thread at a fork would stay locked in the child.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::runtime;

/// Opens after 5 consecutive failed calls, for 60 s; then one call at a time may probe.
///
/// Only causes on the server's side count: [`Kind::Network`], [`Kind::Timeout`], [`Kind::Server`],
/// [`Kind::RateLimited`]. A refused request (4xx) neither counts nor resets the count.
#[derive(Debug)]
pub struct Breaker {
    threshold: u32,
    open_for: Duration,
    birth: Instant,
    failures: AtomicU32,
    /// Milliseconds since `birth`, plus one; zero while closed.
    opened_at: AtomicU64,
    /// Generation of the process whose call probes, plus one; zero for none. A probe that was under
    /// way in the parent at a fork does not block the child.
    probe: AtomicU64,
}

/// What a [`Breaker`] is doing; prints as `Closed (failures: 2)`, `Open`, `HalfOpen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls pass.
    Closed {
        /// Consecutive failed calls so far.
        failures: u32,
    },
    /// Calls are refused. Stays so after the time is up, until the next call.
    Open,
    /// One call is finding out whether the server is back; others are refused.
    HalfOpen,
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { failures } => write!(f, "Closed (failures: {failures})"),
            Self::Open => f.write_str("Open"),
            Self::HalfOpen => f.write_str("HalfOpen"),
        }
    }
}

/// Leave for one call. Dropping it unrecorded (a cancelled call) says nothing about the server.
#[derive(Debug)]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new(5, Duration::from_secs(60))
    }
}

impl Breaker {
    /// Opens after `threshold` consecutive failed calls, for `open_for`.
    #[must_use]
    pub fn new(threshold: u32, open_for: Duration) -> Self {
        Self {
            threshold,
            open_for,
            birth: Instant::now(),
            failures: AtomicU32::new(0),
            opened_at: AtomicU64::new(0),
            probe: AtomicU64::new(0),
        }
    }

    /// Asks whether a call may start.
    ///
    /// # Errors
    /// [`Kind::CircuitOpen`].
    pub fn admit(&self) -> Result<Permit<'_>> {
        if self.opened_at.load(Ordering::Acquire) == 0 {
            return Ok(Permit { breaker: self, probe: false });
        }
        if !self.time_is_up() {
            return Err(rejected());
        }
        let mine = probe_mark();
        let held = self.probe.load(Ordering::Acquire);
        let taken = held != mine
            && self.probe.compare_exchange(held, mine, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !taken {
            return Err(rejected());
        }
        let permit = Permit { breaker: self, probe: true };
        // Another probe may have ended between the two looks; then its verdict holds.
        if self.opened_at.load(Ordering::Acquire) != 0 && !self.time_is_up() {
            return Err(rejected());
        }
        Ok(permit)
    }

    /// The present state.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        if self.opened_at.load(Ordering::Acquire) == 0 {
            BreakerState::Closed { failures: self.failures.load(Ordering::Acquire) }
        } else if self.probe.load(Ordering::Acquire) == probe_mark() {
            BreakerState::HalfOpen
        } else {
            BreakerState::Open
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.birth.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn time_is_up(&self) -> bool {
        let open = self.now().saturating_sub(self.opened_at.load(Ordering::Acquire));
        Duration::from_millis(open) > self.open_for
    }

    fn open(&self) {
        self.opened_at.store(self.now(), Ordering::Release);
    }
}

impl Permit<'_> {
    /// Reports how the call ended: its error, or `None` for success.
    pub fn record(self, error: Option<&Error>) {
        let breaker = self.breaker;
        let servers_fault = error.is_some_and(|error| {
            use Kind::{Network, RateLimited, Server, Timeout};
            matches!(error.kind(), Network | Timeout | Server | RateLimited)
        });
        let answered = !servers_fault && error.is_none_or(|error| error.status().is_some());
        if self.probe {
            if servers_fault {
                breaker.open();
            } else if answered {
                breaker.failures.store(0, Ordering::Release);
                breaker.opened_at.store(0, Ordering::Release);
            }
        } else if servers_fault {
            let failures = breaker.failures.fetch_add(1, Ordering::AcqRel).saturating_add(1);
            // Stragglers that started before it opened must not postpone the end.
            if failures >= breaker.threshold && breaker.opened_at.load(Ordering::Acquire) == 0 {
                breaker.open();
            }
        } else if error.is_none() && breaker.opened_at.load(Ordering::Acquire) == 0 {
            breaker.failures.store(0, Ordering::Release);
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.probe {
            let _ = self.breaker.probe.compare_exchange(
                probe_mark(),
                0,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
        }
    }
}

fn probe_mark() -> u64 {
    runtime::generation().saturating_add(1)
}

fn rejected() -> Error {
    Error::new(Kind::CircuitOpen, "Circuit breaker is open, request rejected")
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what #[tokio::test] expands to")]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn fail(breaker: &Breaker, kind: Kind) {
        breaker.admit().unwrap().record(Some(&Error::new(kind, "")));
    }

    fn opened() -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..5 {
            fail(&breaker, Kind::Server);
        }
        breaker
    }

    #[test]
    fn only_the_servers_faults_count() {
        for kind in Kind::ALL {
            let breaker = Breaker::default();
            fail(&breaker, kind);
            let counted =
                matches!(kind, Kind::Network | Kind::Timeout | Kind::Server | Kind::RateLimited);
            let failures = u32::from(counted);
            assert_eq!(breaker.state(), BreakerState::Closed { failures }, "{kind}");
        }
    }

    #[test]
    fn a_success_resets_the_count_and_a_refused_request_does_not() {
        let breaker = Breaker::default();
        for _ in 0..4 {
            fail(&breaker, Kind::Server);
        }
        fail(&breaker, Kind::BadRequest);
        assert_eq!(breaker.state().to_string(), "Closed (failures: 4)");
        breaker.admit().unwrap().record(None);
        assert_eq!(breaker.state().to_string(), "Closed (failures: 0)");
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_for_its_time_and_lets_one_probe_through() {
        let breaker = opened();
        assert_eq!(breaker.admit().unwrap_err().kind(), Kind::CircuitOpen);
        advance(Duration::from_secs(60)).await;
        assert!(breaker.admit().is_err());
        advance(Duration::from_millis(2)).await;
        assert_eq!(breaker.state(), BreakerState::Open);
        let probe = breaker.admit().unwrap();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(breaker.admit().is_err());
        probe.record(None);
        assert_eq!(breaker.state(), BreakerState::Closed { failures: 0 });
        assert!(breaker.admit().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_probe_opens_again_and_a_cancelled_one_leaves_its_place() {
        let breaker = opened();
        advance(Duration::from_secs(61)).await;
        drop(breaker.admit().unwrap());
        assert_eq!(breaker.state(), BreakerState::Open);
        fail(&breaker, Kind::Network);
        assert_eq!(breaker.state(), BreakerState::Open);
        advance(Duration::from_secs(59)).await;
        assert!(breaker.admit().is_err());
        advance(Duration::from_secs(2)).await;
        let refused = Error::new(Kind::BadRequest, "").with_status(400);
        breaker.admit().unwrap().record(Some(&refused));
        assert_eq!(breaker.state(), BreakerState::Closed { failures: 0 });
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_threads_one_probes() {
        let breaker = opened();
        advance(Duration::from_secs(61)).await;
        // The paused clock is thread-local to the test's runtime: hand the runtime to the threads.
        let runtime = tokio::runtime::Handle::current();
        let probes: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let _inside = runtime.enter();
                        breaker.admit().map(std::mem::ManuallyDrop::new).is_ok()
                    })
                })
                .collect();
            workers.into_iter().map(|worker| usize::from(worker.join().unwrap())).sum()
        });
        assert_eq!(probes, 1);
    }
}
