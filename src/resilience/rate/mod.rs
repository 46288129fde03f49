//! Requests and tokens a minute: a line to wait in, first come first served.
//!
//! A caller reserves one request and an estimate of its tokens, and settles when the answer says what it
//! really used. The providers' headers feed back: a limit nobody set is learned from them, and what
//! they have left lowers what there is here, so several programs on one key slow down together. Clones of a
//! [`RateLimit`] share it; processes share one through Redis, if there is one, and otherwise each
//! has its own.
//!
//! Written here because the usual crate for it, `governor`, can neither take back an estimate nor change
//! a limit that is in use. It refuses to count tokens itself, and to judge which requests go together:
//! one limit is one provider's key and model, as whoever shares the value decides.
//!
//! ```
//! use graphbit::resilience::{RateLimit, RateSettings};
//!
//! let limit = RateLimit::new(RateSettings {
//!     requests_per_minute: Some(600.0),
//!     tokens_per_minute: Some(60_000.0),
//!     ..RateSettings::default()
//! })?;
//! let shared = limit.clone();
//! graphbit::runtime::block_on(async move {
//!     let reservation = shared.acquire(400).await;
//!     // ... the request, whose answer says that it used 250 tokens ...
//!     reservation.settle(Some(250));
//!     Ok(())
//! })?;
//! assert!(limit.snapshot().tokens_available >= Some(750.0));
//! # Ok::<(), graphbit::Error>(())
//! ```

mod bucket;
mod redis;

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use self::bucket::{Bucket, number};
use self::redis::{Amount, BothTerms, Link, Shared};
use crate::error::{Error, Result};
use crate::runtime::PerProcess;
use crate::secret::ApiKey;
use crate::types::Pace;

/// What a [`RateLimit`] limits.
#[derive(Clone, Debug, PartialEq)]
pub struct RateSettings {
    /// Requests a minute; unset is no limit until the provider names one.
    pub requests_per_minute: Option<f64>,
    /// Tokens a minute, of requests and answers together; unset as above.
    pub tokens_per_minute: Option<f64>,
    /// How much of the rate may be spent at once after a rest, one request at least; 1 s, at most 60 s.
    /// Below 20 ms the timers' resolution of 1 ms costs throughput.
    pub burst: Duration,
    /// Listen to the provider's headers; on.
    pub from_headers: bool,
    /// The server that processes share the limit through; none.
    pub redis: Option<RedisSettings>,
}

impl RateSettings {
    /// Providers count by the minute; who saves up more than one may spend two at once.
    pub const LONGEST_BURST: Duration = Duration::from_secs(60);
}

impl Default for RateSettings {
    fn default() -> Self {
        Self {
            requests_per_minute: None,
            tokens_per_minute: None,
            burst: Duration::from_secs(1),
            from_headers: true,
            redis: None,
        }
    }
}

/// Where and under which name processes share a limit. All of them must give the same rates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisSettings {
    /// `redis://[[user]:password@]host[:port][/database]` or `unix:///path/to/socket`.
    pub url: ApiKey,
    /// Limits of one name are one limit; its key is `graphbit:rate:` and the name.
    pub name: String,
}

/// There is plenty when a request takes less than one in so many of the tokens there are. As they get fewer,
/// more is counted, and at the limit everything is.
const PLENTY: f64 = 16.0;

/// How a request's tokens are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    /// A number that they are not above, known at once: a token has one byte at least.
    Bound,
    /// As many as the provider will count.
    Exact,
}

/// A limit on requests and tokens a minute. Cloning shares it.
#[derive(Clone)]
pub struct RateLimit(Arc<Inner>);

struct Inner {
    settings: RateSettings,
    local: PerProcess<Local>,
    shared: Option<Shared>,
}

/// What is in force and what there is, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RateSnapshot {
    /// Requests a minute in force, set or learned; `None` without a limit.
    pub requests_per_minute: Option<f64>,
    /// Tokens a minute in force, set or learned; `None` without a limit.
    pub tokens_per_minute: Option<f64>,
    /// Requests that could start now, as this process counts.
    pub requests_available: Option<f64>,
    /// Tokens that could be spent now, as this process counts.
    pub tokens_available: Option<f64>,
    /// Callers waiting in this process.
    pub waiting: usize,
    /// What callers have waited so far, in seconds, all together.
    pub waited_seconds_total: f64,
    /// Whether the limit is being shared with other processes.
    pub shared: bool,
}

impl RateLimit {
    /// Checks the settings; nothing is connected.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] for a rate that is not finite and above zero, a burst above a minute,
    /// nothing to limit and nobody to learn it from, or an address of Redis that cannot be used.
    pub fn new(settings: RateSettings) -> Result<Self> {
        let (requests, tokens) = (settings.requests_per_minute, settings.tokens_per_minute);
        for (field, rate) in [("requests_per_minute", requests), ("tokens_per_minute", tokens)] {
            if let Some(rate) = rate.filter(|rate| !(rate.is_finite() && *rate > 0.0)) {
                let text = format!("{field} must be a finite number above 0");
                return Err(Error::validation(field, Some(&rate.to_string()), &text));
            }
        }
        if requests.is_none() && tokens.is_none() && !settings.from_headers {
            let text = "requests_per_minute must be set, or tokens_per_minute, or from_headers: \
                        nothing is limited";
            return Err(Error::validation("requests_per_minute", None, text));
        }
        if settings.burst > RateSettings::LONGEST_BURST {
            let value = settings.burst.as_secs_f64().to_string();
            return Err(Error::validation("burst", Some(&value), "burst must be 60 s or less"));
        }
        let shared = settings.redis.as_ref().map(Shared::new).transpose()?;
        let burst = settings.burst;
        let local = PerProcess::new(move || Local::new(requests, tokens, burst));
        Ok(Self(Arc::new(Inner { settings, local, shared })))
    }

    /// The settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &RateSettings {
        &self.0.settings
    }

    /// What [`RateLimit::acquire`] is to be asked for: as many tokens as `tokens` counts, a bound where there is
    /// plenty, and 0 while tokens are not limited. Counting reads a whole prompt, and what is reserved in vain
    /// comes back with the answer.
    pub fn estimate(&self, tokens: impl Fn(Tally) -> u64) -> u64 {
        let Some(available) = self.0.local.get().buckets().tokens.available(Instant::now()) else {
            return 0;
        };
        // What other processes have left is not known here.
        if self.0.shared.is_none() {
            let bound = tokens(Tally::Bound);
            if number(bound) * PLENTY <= available {
                return bound;
            }
        }
        tokens(Tally::Exact)
    }

    /// Waits in line until one request of about `tokens` may be sent. Dropping the future leaves the
    /// line without a trace.
    pub async fn acquire(&self, tokens: u64) -> Reservation {
        let local = self.0.local.get();
        let tokens = number(tokens);
        // Without a line there is none to stand in. With Redis there is: its head asks for all of them.
        if self.0.shared.is_none()
            && local.waiting.load(Ordering::Acquire) == 0
            && let Ok((counted, _)) = local.take(tokens)
        {
            let tokens = counted.then_some(tokens);
            return Reservation { local: Arc::clone(local), link: None, tokens, unsent: false };
        }
        // In a box: it is large, and most calls, whose future would hold it, never come here.
        Box::pin(self.stand_in_line(local, tokens)).await
    }

    async fn stand_in_line(&self, local: &Arc<Local>, tokens: f64) -> Reservation {
        let mut waiting = None;
        // Held by the head of the line while it waits; the lock is fair, so the rest stay in order.
        let turn = match local.line.try_lock() {
            Ok(turn) => turn,
            Err(_) => {
                waiting = Some(Waiting::begin(local));
                local.line.lock().await
            }
        };
        let (counted, terms) = loop {
            match local.take(tokens) {
                Ok(taken) => break taken,
                Err(pause) => {
                    waiting.get_or_insert_with(|| Waiting::begin(local)).tell(pause);
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = local.changed.notified() => {}
                    }
                }
            }
        };
        let tokens = counted.then_some(tokens);
        let mut reservation =
            Reservation { local: Arc::clone(local), link: None, tokens, unsent: true };
        if let Some(shared) = &self.0.shared {
            let link = shared.link();
            if let Some(pause) = link.spend(terms, tokens.unwrap_or_default()).await {
                reservation.link = Some(Arc::clone(link));
                if !pause.is_zero() {
                    waiting.get_or_insert_with(|| Waiting::begin(local)).tell(pause);
                    sleep(pause).await;
                }
            }
        }
        reservation.unsent = false;
        drop(turn);
        reservation
    }

    /// Hears what a provider's answer said, if the settings allow.
    pub fn observe(&self, pace: &Pace) {
        if !self.0.settings.from_headers {
            return;
        }
        let local = self.0.local.get();
        let now = Instant::now();
        let mut buckets = local.buckets();
        let before = (buckets.requests.per_minute(), buckets.tokens.per_minute());
        let (limit, remaining) = (pace.limit_requests, pace.remaining_requests);
        buckets.requests.hear(limit, remaining, pace.reset_requests, now);
        let (limit, remaining) = (pace.limit_tokens, pace.remaining_tokens);
        buckets.tokens.hear(limit, remaining, pace.reset_tokens, now);
        let after = (buckets.requests.per_minute(), buckets.tokens.per_minute());
        drop(buckets);
        if before != after {
            let (requests, tokens) = after;
            tracing::debug!(
                target: "graphbit::resilience", requests, tokens, "the provider named its limits a minute"
            );
            local.changed.notify_one();
        }
    }

    /// What is in force and what there is, in this process.
    #[must_use]
    pub fn snapshot(&self) -> RateSnapshot {
        let shared = self.0.shared.as_ref().is_some_and(|shared| shared.link().is_up());
        let local = self.0.local.get();
        let now = Instant::now();
        let mut buckets = local.buckets();
        RateSnapshot {
            requests_per_minute: buckets.requests.per_minute(),
            tokens_per_minute: buckets.tokens.per_minute(),
            requests_available: buckets.requests.available(now),
            tokens_available: buckets.tokens.available(now),
            waiting: local.waiting.load(Ordering::Relaxed),
            waited_seconds_total: Duration::from_nanos(local.waited.load(Ordering::Relaxed))
                .as_secs_f64(),
            shared,
        }
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

/// One process's part: the line and the buckets at its end.
#[derive(Debug)]
struct Local {
    line: tokio::sync::Mutex<()>,
    buckets: Mutex<Buckets>,
    /// Something came back: the head of the line looks again.
    changed: Notify,
    waiting: AtomicUsize,
    /// Nanoseconds.
    waited: AtomicU64,
}

#[derive(Debug)]
struct Buckets {
    requests: Bucket,
    tokens: Bucket,
}

impl Local {
    fn new(requests: Option<f64>, tokens: Option<f64>, burst: Duration) -> Self {
        let (requests, tokens) = (Bucket::new(requests, burst), Bucket::new(tokens, burst));
        Self {
            line: tokio::sync::Mutex::default(),
            buckets: Mutex::new(Buckets { requests, tokens }),
            changed: Notify::new(),
            waiting: AtomicUsize::new(0),
            waited: AtomicU64::new(0),
        }
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one request of `tokens`, and says whether tokens are counted and on which terms; or how
    /// long to wait first.
    fn take(&self, tokens: f64) -> std::result::Result<(bool, BothTerms), Duration> {
        let now = Instant::now();
        let mut buckets = self.buckets();
        let wait = buckets.requests.wait(1.0, now).max(buckets.tokens.wait(tokens, now));
        if !wait.is_zero() {
            return Err(wait);
        }
        buckets.requests.take(1.0);
        buckets.tokens.take(tokens);
        let terms =
            BothTerms { requests: buckets.requests.terms(), tokens: buckets.tokens.terms() };
        Ok((buckets.tokens.is_limited(), terms))
    }

    fn give(&self, amount: Amount) {
        let mut buckets = self.buckets();
        buckets.requests.give(amount.requests);
        buckets.tokens.give(amount.tokens);
        drop(buckets);
        self.changed.notify_one();
    }
}

/// A caller who has to wait, for the statistics and the log.
struct Waiting<'a> {
    local: &'a Local,
    since: Instant,
    told: bool,
}

impl<'a> Waiting<'a> {
    fn begin(local: &'a Local) -> Self {
        local.waiting.fetch_add(1, Ordering::AcqRel);
        Self { local, since: Instant::now(), told: false }
    }

    fn tell(&mut self, pause: Duration) {
        if !std::mem::replace(&mut self.told, true) {
            let seconds = pause.as_secs_f64();
            tracing::debug!(target: "graphbit::resilience", seconds, "held back by the rate limit");
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.local.waiting.fetch_sub(1, Ordering::Relaxed);
        let waited = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.local.waited.fetch_add(waited, Ordering::Relaxed);
    }
}

/// Leave for one request, and what it was taken to cost. Dropped, the estimate stays spent: the
/// server may have counted it.
#[derive(Debug)]
#[must_use = "a request that is not sent should be cancelled"]
pub struct Reservation {
    local: Arc<Local>,
    /// Where it has been counted as well.
    link: Option<Arc<Link>>,
    /// The estimate, where tokens are limited.
    tokens: Option<f64>,
    /// Not let go yet, or cancelled: everything goes back.
    unsent: bool,
}

impl Reservation {
    /// Replaces the estimate by what the answer says was used; `None` leaves it.
    pub fn settle(self, tokens: Option<u64>) {
        if let (Some(estimate), Some(used)) = (self.tokens, tokens.map(number))
            && estimate != used
        {
            self.give(Amount { requests: 0.0, tokens: estimate - used });
        }
    }

    /// Gives request and tokens back: nothing was sent.
    pub fn cancel(mut self) {
        self.unsent = true;
    }

    fn give(&self, amount: Amount) {
        self.local.give(amount);
        if let Some(link) = &self.link {
            link.give_back(amount);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.unsent {
            self.give(Amount { requests: 1.0, tokens: self.tokens.unwrap_or_default() });
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "what #[tokio::test] expands to, and callers of its own"
)]
mod tests;
