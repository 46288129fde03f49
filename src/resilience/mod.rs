//! Retry, circuit breaker and call statistics: generic over an attempt, naming no provider.
//!
//! It refuses to judge errors itself: whether to try again is the error's own [`crate::Advice`], and
//! whether a server is to blame is its [`crate::Kind`].
//!
//! # The order of layers
//!
//! Outermost first, as callers compose them:
//!
//! cache → failover → total deadline → retry → breaker → rate limit → concurrency permit → attempt
//! timeout → transport
//!
//! A permit lives inside retry, so that a pause between attempts holds no slot. The breaker counts
//! calls rather than attempts, so it is asked once, when retry begins, and told once, when retry ends.
//! [`Stack`] is this order as far as it exists: statistics around deadline, breaker and retry.
//!
//! ```
//! use graphbit::resilience::{RetryPolicy, Stack};
//! use graphbit::{Error, Kind};
//!
//! let stack = Stack::new(RetryPolicy::default());
//! let answer = graphbit::runtime::block_on(async move {
//!     let mut attempt = 0;
//!     stack
//!         .call(|| {
//!             attempt += 1;
//!             let answer = match attempt {
//!                 1 => Err(Error::new(Kind::Server, "try again")),
//!                 _ => Ok(attempt),
//!             };
//!             async move { answer }
//!         })
//!         .await
//! })?;
//! assert_eq!(answer, 2);
//! # Ok::<(), graphbit::Error>(())
//! ```

mod breaker;
mod retry;
mod stats;

use std::future::Future;
use std::time::Duration;

pub use breaker::{Breaker, BreakerState, Permit};
pub use retry::{OnRetry, RetryEvent, RetryPolicy, retry};
pub use stats::{CallStats, StatsSnapshot};
use tokio::time::Instant;

use crate::error::Result;

/// One client's protection: its policy, its breaker, its numbers.
#[derive(Debug)]
pub struct Stack {
    policy: RetryPolicy,
    breaker: Option<Breaker>,
    stats: CallStats,
}

impl Stack {
    /// A closed breaker and empty statistics around `policy`.
    #[must_use]
    pub fn new(policy: RetryPolicy) -> Self {
        Self { policy, breaker: Some(Breaker::default()), stats: CallStats::default() }
    }

    /// The same without a breaker: every call reaches the server.
    #[must_use]
    pub fn without_breaker(policy: RetryPolicy) -> Self {
        Self { policy, breaker: None, stats: CallStats::default() }
    }

    /// The retry policy.
    #[must_use]
    pub fn policy(&self) -> &RetryPolicy {
        &self.policy
    }

    /// Runs one logical call. Dropping the future cancels it; the breaker then learns nothing.
    ///
    /// # Errors
    /// [`crate::Kind::CircuitOpen`] when the breaker is open, else the last attempt's error.
    pub async fn call<T, F>(&self, attempt: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let started = Instant::now();
        let result = self.attempt(attempt).await;
        self.settle(started.elapsed(), result.is_ok());
        result
    }

    /// As [`Stack::call`], for an answer that goes on arriving: failing is counted here, and its end by
    /// [`Stack::settle`].
    ///
    /// # Errors
    /// As [`Stack::call`].
    pub async fn open<T, F>(&self, attempt: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let started = Instant::now();
        let result = self.attempt(attempt).await;
        if result.is_err() {
            self.settle(started.elapsed(), false);
        }
        result
    }

    /// Counts the end of a call that [`Stack::open`] began.
    pub fn settle(&self, elapsed: Duration, success: bool) {
        self.stats.end(elapsed, success);
    }

    async fn attempt<T, F>(&self, attempt: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.stats.begin();
        match self.breaker.as_ref().map(Breaker::admit).transpose() {
            Ok(permit) => {
                let result = retry(&self.policy, attempt).await;
                if let Some(permit) = permit {
                    permit.record(result.as_ref().err());
                }
                result
            }
            Err(open) => Err(open),
        }
    }

    /// The breaker's present state; without a breaker, closed for ever.
    #[must_use]
    pub fn breaker_state(&self) -> BreakerState {
        self.breaker.as_ref().map_or(BreakerState::Closed { failures: 0 }, Breaker::state)
    }

    /// The numbers so far.
    #[must_use]
    pub fn stats(&self) -> StatsSnapshot {
        self.stats.snapshot()
    }

    /// Sets the counters to zero. The breaker and the uptime go on.
    pub fn reset_stats(&self) {
        self.stats.reset();
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what #[tokio::test] expands to")]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};

    #[tokio::test(start_paused = true)]
    async fn a_call_is_counted_once_whatever_happens_inside() {
        let stack = Stack::new(RetryPolicy { jitter: false, ..RetryPolicy::default() });
        let mut left = 2;
        let flaky = || {
            left -= 1;
            let answer = if left >= 0 { Err(Error::new(Kind::Server, "no")) } else { Ok(()) };
            async move { answer }
        };
        stack.call(flaky).await.unwrap();
        let stats = stack.stats();
        assert_eq!(
            (stats.total_requests, stats.successful_requests, stats.failed_requests),
            (1, 1, 0)
        );
        assert!(stats.average_response_time_ms >= 300.0, "{stats:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn five_failed_calls_open_and_rejections_count_as_failed() {
        let stack = Stack::new(RetryPolicy { attempts: 1, ..RetryPolicy::default() });
        let fail = || async { Err::<(), _>(Error::new(Kind::Server, "no")) };
        for call in 0..5 {
            assert_eq!(stack.breaker_state(), BreakerState::Closed { failures: call });
            assert_eq!(stack.call(fail).await.unwrap_err().kind(), Kind::Server);
        }
        assert_eq!(stack.breaker_state(), BreakerState::Open);
        assert_eq!(stack.call(fail).await.unwrap_err().kind(), Kind::CircuitOpen);
        assert_eq!(stack.stats().failed_requests, 6);
        stack.reset_stats();
        assert_eq!(stack.stats().total_requests, 0);
        assert_eq!(stack.breaker_state(), BreakerState::Open);
    }
}
