//! [`Stack`]: the layers of one client in front of one endpoint and model.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::breaker::{Breaker, BreakerPolicy, BreakerState};
use super::budget::RetryBudget;
use super::concurrency::{Concurrency, Outcome, Slot};
use super::hedge::{Hedge, HedgeSettings};
use super::rate::{RateLimit, Reservation, Tally};
use super::retry::{Retries, RetryPolicy};
use crate::error::{Error, Kind, Result};
use crate::types::Pace;

/// What protects a client's calls. The default is retries, a breaker, and a limit of concurrency that
/// begins with the first sign of overload; no limit of the rate, and no hedging.
#[derive(Clone, Debug)]
pub struct Protection {
    /// How often, how fast and how long to try.
    pub retry: RetryPolicy,
    /// When to stop asking; `None` asks for ever.
    pub breaker: Option<BreakerPolicy>,
    /// Requests and tokens a minute. A clone is the same limit.
    pub rate: Option<RateLimit>,
    /// Requests at once. A clone is the same limit.
    pub concurrency: Option<Concurrency>,
    /// When to send a second copy.
    pub hedge: Option<HedgeSettings>,
}

impl Default for Protection {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            breaker: Some(BreakerPolicy::default()),
            rate: None,
            concurrency: Some(Concurrency::default()),
            hedge: None,
        }
    }
}

/// What the layers want to know of an answer.
pub trait Answer {
    /// All tokens it is charged with, where the provider says so.
    fn tokens(&self) -> Option<u64> {
        None
    }

    /// What its headers said of the provider's limits.
    fn pace(&self) -> Option<&Pace> {
        None
    }
}

/// Deadline, retry, breaker, hedging, rate limit and permit, in this order.
#[derive(Debug)]
pub struct Stack {
    /// Whose it is, for the log: provider and model.
    name: Arc<str>,
    policy: RetryPolicy,
    budget: RetryBudget,
    breaker: Option<Breaker>,
    rate: Option<RateLimit>,
    concurrency: Option<Concurrency>,
    hedge: Option<Hedge>,
    attempts: AtomicU64,
    calls: AtomicU64,
}

/// What a [`Stack`] was doing at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StackSnapshot {
    /// Calls that were let in.
    pub calls: u64,
    /// Attempts of those calls that were sent, retries and second copies included.
    pub attempts: u64,
    /// Second copies sent.
    pub hedged: u64,
    /// What the breaker is doing; without one, closed for ever.
    pub breaker: BreakerState,
    /// Attempts under way.
    pub in_flight: Option<usize>,
    /// How many may be; `None` while there is no limit.
    pub concurrency_limit: Option<usize>,
}

impl Stack {
    /// Fresh layers; `name` stands in log lines. Policies count as checked.
    #[must_use]
    pub fn new(name: &str, protection: Protection) -> Self {
        let Protection { retry, breaker, rate, concurrency, hedge } = protection;
        let name: Arc<str> = Arc::from(name);
        Self {
            budget: retry.budget(),
            policy: retry,
            breaker: breaker.map(|policy| Breaker::new(policy, Arc::clone(&name))),
            rate,
            concurrency,
            hedge: hedge.map(Hedge::unchecked),
            attempts: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            name,
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs one call. `tokens` estimates what it will be charged with, and is only asked where a limit
    /// wants to know. Dropping the future cancels the call; the breaker then learns nothing.
    ///
    /// # Errors
    /// [`Kind::CircuitOpen`] when the breaker is open, else the last attempt's error.
    pub async fn call<T, F>(
        &self,
        tokens: impl Fn(Tally) -> u64,
        attempt: impl Fn() -> F,
    ) -> Result<T>
    where
        T: Answer,
        F: Future<Output = Result<T>>,
    {
        let (answer, lease) = self.open(tokens, attempt).await?;
        if let (Some(rate), Some(pace)) = (&self.rate, answer.pace()) {
            rate.observe(pace);
        }
        lease.end(None, answer.tokens());
        Ok(answer)
    }

    /// As [`Stack::call`], for an answer that goes on arriving: its places in the limits are given back
    /// by the [`Lease`].
    ///
    /// # Errors
    /// As [`Stack::call`].
    pub async fn open<T, F>(
        &self,
        tokens: impl Fn(Tally) -> u64,
        attempt: impl Fn() -> F,
    ) -> Result<(T, Lease)>
    where
        F: Future<Output = Result<T>>,
    {
        let permit = self.breaker.as_ref().map(Breaker::admit).transpose()?;
        self.calls.fetch_add(1, Ordering::Relaxed);
        let tokens = self.rate.as_ref().map_or(0, |rate| rate.estimate(tokens));
        let goes_on = || match (&self.breaker, &permit) {
            (Some(breaker), Some(permit)) => breaker.goes_on(permit),
            _ => true,
        };
        let retries = Retries { policy: &self.policy, budget: &self.budget, name: &self.name };
        let limited = || self.limited(tokens, attempt());
        let result = match &self.hedge {
            None => retries.run(goes_on, limited).await,
            // In a box: it holds two attempts, which those without hedging need no room for.
            Some(hedge) => Box::pin(retries.run(goes_on, || hedge.run(&limited))).await,
        };
        if let Some(permit) = permit {
            let took = result.as_ref().map_or(Duration::ZERO, |(_, lease)| lease.took);
            permit.record(result.as_ref().err(), took);
        }
        result
    }

    /// One attempt within the limits.
    async fn limited<T, F>(&self, tokens: u64, attempt: F) -> Result<(T, Lease)>
    where
        F: Future<Output = Result<T>>,
    {
        let mut unsent = Unsent(match &self.rate {
            Some(rate) => Some(rate.acquire(tokens).await),
            None => None,
        });
        let slot = match &self.concurrency {
            Some(concurrency) => Some(concurrency.acquire().await),
            None => None,
        };
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let mut lease = Lease { slot, reservation: unsent.0.take(), took: Duration::ZERO };
        match attempt.await {
            Ok(answer) => {
                lease.took = started.elapsed();
                Ok((answer, lease))
            }
            Err(error) => {
                // What failed is not charged with tokens; that it was sent counts as a request.
                lease.end(Some(&error), Some(0));
                Err(error)
            }
        }
    }

    /// What it is doing now.
    #[must_use]
    pub fn snapshot(&self) -> StackSnapshot {
        let closed = BreakerState::Closed { failures: 0 };
        StackSnapshot {
            calls: self.calls.load(Ordering::Relaxed),
            attempts: self.attempts.load(Ordering::Relaxed),
            hedged: self.hedge.as_ref().map_or(0, Hedge::sent),
            breaker: self.breaker.as_ref().map_or(closed, Breaker::state),
            in_flight: self.concurrency.as_ref().map(Concurrency::in_flight),
            concurrency_limit: self.concurrency.as_ref().and_then(Concurrency::limit),
        }
    }

    /// The limit of its rate, where it has one.
    #[must_use]
    pub fn rate(&self) -> Option<&RateLimit> {
        self.rate.as_ref()
    }
}

/// A reservation of a request that was not sent yet: a call that is cancelled in the line for its permit
/// has used nothing.
struct Unsent(Option<Reservation>);

impl Drop for Unsent {
    fn drop(&mut self) {
        if let Some(reservation) = self.0.take() {
            reservation.cancel();
        }
    }
}

/// An answer's places in the limits. Dropping it says that the answer was not wanted any more.
#[derive(Debug)]
pub struct Lease {
    slot: Option<Slot>,
    reservation: Option<Reservation>,
    /// From sending to the answer, or to its first piece.
    took: Duration,
}

impl Lease {
    /// The answer has ended: with this error, or well; charged with so many tokens, if that is known.
    pub fn end(self, error: Option<&Error>, tokens: Option<u64>) {
        if let Some(slot) = self.slot {
            slot.finish(error.map_or(Outcome::Success, weigh));
        }
        if let Some(reservation) = self.reservation {
            reservation.settle(tokens);
        }
    }
}

/// Whether an error is a sign of too much work. 503 is not: it says "down" as often as "busy".
fn weigh(error: &Error) -> Outcome {
    match (error.kind(), error.status()) {
        (Kind::RateLimited | Kind::Timeout, _) | (_, Some(529)) => Outcome::Overloaded,
        _ => Outcome::Ignored,
    }
}
