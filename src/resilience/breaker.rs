//! The circuit breaker: when too many of the last calls failed, calls are refused for a while.
//!
//! It counts calls with their retries, not attempts: one that a retry saved was no failure to anybody.
//! Asked before each attempt and told once a call. Only the server's faults count: no answer, a time limit,
//! 5xx. A 4xx says that the server works, a 429 included, which is the limiter's to heed.
//!
//! Only atomics, because a lock held by another thread at a fork would stay locked in the child.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::window::{Counts, Window};
use super::{LOG, share};
use crate::error::{Error, Kind, Result};
use crate::runtime;

/// When a [`Breaker`] opens, and for how long. The default opens when at least half of the last 100 calls
/// failed, but not before there were 5, and stays open for 60 s (both as in GraphBit 0.6.8); slowness
/// does not count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerPolicy {
    /// The share of failed calls that opens it, above 0, at most 1.
    pub failure_rate: f64,
    /// The share of slow calls that opens it, above 0, at most 1.
    pub slow_rate: f64,
    /// A successful call that takes longer is slow; `None` calls none slow.
    pub slow: Option<Duration>,
    /// How many of the last calls are looked at, 1 to [`BreakerPolicy::WIDEST_WINDOW`].
    pub window: usize,
    /// It stays closed until there were so many calls, at least 1 and at most `window`.
    pub minimum_calls: usize,
    /// How long it stays open. As long a silence empties the window as well.
    pub open_for: Duration,
    /// How many calls may probe at once after that, and how many must succeed to close it; at least 1.
    pub probes: u16,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            failure_rate: 0.5,
            slow_rate: 1.0,
            slow: None,
            window: 100,
            minimum_calls: 5,
            open_for: Duration::from_secs(60),
            probes: 1,
        }
    }
}

impl BreakerPolicy {
    /// A byte of memory for each call; more of them would tell no other share.
    pub const WIDEST_WINDOW: usize = 1_000_000;

    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// [`Kind::Validation`], naming the field.
    pub fn check(&self) -> Result<()> {
        share("failure_rate", self.failure_rate, false)?;
        share("slow_rate", self.slow_rate, false)?;
        let counts = [
            ("window", self.window),
            ("minimum_calls", self.minimum_calls),
            ("probes", usize::from(self.probes)),
        ];
        for (field, value) in counts {
            if value == 0 {
                let text = format!("{field} must be at least 1");
                return Err(Error::validation(field, Some("0"), &text));
            }
        }
        if self.window > Self::WIDEST_WINDOW {
            let (value, most) = (self.window.to_string(), Self::WIDEST_WINDOW);
            let text = format!("window must be at most {most}");
            return Err(Error::validation("window", Some(&value), &text));
        }
        if self.minimum_calls > self.window {
            let value = self.minimum_calls.to_string();
            let text = format!("minimum_calls must not exceed window, which is {}", self.window);
            return Err(Error::validation("minimum_calls", Some(&value), &text));
        }
        Ok(())
    }
}

/// Opens, half opens and closes as its [`BreakerPolicy`] says.
#[derive(Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    /// Whose it is, for the log.
    name: Arc<str>,
    birth: Instant,
    window: Window,
    /// Failed calls since the last success.
    streak: AtomicU32,
    /// When the last call ended, in milliseconds since `birth`, plus one; zero before the first.
    last: AtomicU64,
    /// Milliseconds since `birth`, plus one; zero while closed.
    opened_at: AtomicU64,
    /// [`Probes`], packed.
    probes: AtomicU64,
}

/// What a [`Breaker`] is doing; prints as `Closed (failures: 2)`, `Open`, `HalfOpen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls pass.
    Closed {
        /// Failed calls since the last success.
        failures: u32,
    },
    /// Calls are refused. Stays so after the time is up, until the next call.
    Open,
    /// A few calls are finding out whether the server is back; others are refused.
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

/// The calls that probe. Those under way in the parent at a fork do not count in the child.
#[derive(Clone, Copy)]
struct Probes {
    /// The low half of the process's generation.
    process: u32,
    under_way: u16,
    succeeded: u16,
}

impl Probes {
    fn unpack(packed: u64) -> Self {
        let part = |shift: u32, mask: u64| packed >> shift & mask;
        let process = u32::try_from(runtime::generation() & u64::from(u32::MAX)).unwrap_or(0);
        if part(32, u64::from(u32::MAX)) != u64::from(process) {
            return Self { process, under_way: 0, succeeded: 0 };
        }
        let count = |shift| u16::try_from(part(shift, u64::from(u16::MAX))).unwrap_or(0);
        Self { process, under_way: count(16), succeeded: count(0) }
    }

    #[expect(clippy::unnecessary_wraps, reason = "a change of Breaker::change")]
    fn none(self) -> Option<Self> {
        Some(Self { under_way: 0, succeeded: 0, ..self })
    }

    fn pack(self) -> u64 {
        u64::from(self.process) << 32 | u64::from(self.under_way) << 16 | u64::from(self.succeeded)
    }
}

/// Leave for one call. Dropping it unrecorded (a cancelled call) says nothing about the server.
#[derive(Debug)]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    /// For a probe: when the opening began that it may end.
    probe: Option<u64>,
}

impl Breaker {
    /// A closed breaker; `name` stands in its log lines.
    #[must_use]
    pub fn new(policy: BreakerPolicy, name: Arc<str>) -> Self {
        Self {
            policy,
            name,
            birth: Instant::now(),
            window: Window::new(policy.window),
            streak: AtomicU32::new(0),
            last: AtomicU64::new(0),
            opened_at: AtomicU64::new(0),
            probes: AtomicU64::new(0),
        }
    }

    /// Asks whether a call may start.
    ///
    /// # Errors
    /// [`Kind::CircuitOpen`].
    pub fn admit(&self) -> Result<Permit<'_>> {
        let opened = self.opened_at.load(Ordering::Acquire);
        if opened == 0 {
            return Ok(Permit { breaker: self, probe: None });
        }
        let free_place = |probes: Probes| {
            let places = probes.under_way.saturating_add(probes.succeeded);
            let under_way = probes.under_way.saturating_add(1);
            (places < self.policy.probes).then_some(Probes { under_way, ..probes })
        };
        if !self.time_is_up(opened) || self.change(free_place).is_none() {
            return Err(rejected());
        }
        let permit = Permit { breaker: self, probe: Some(opened) };
        // Another probe may have ended between the two looks; then its verdict holds.
        match self.opened_at.load(Ordering::Acquire) {
            now if now == opened || now == 0 => Ok(permit),
            _ => Err(rejected()),
        }
    }

    /// Whether a call that was admitted may go on to a further attempt.
    #[must_use]
    pub fn goes_on(&self, permit: &Permit<'_>) -> bool {
        permit.probe.is_some() || self.opened_at.load(Ordering::Acquire) == 0
    }

    /// The present state.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        if self.opened_at.load(Ordering::Acquire) == 0 {
            return BreakerState::Closed { failures: self.streak.load(Ordering::Acquire) };
        }
        let probes = Probes::unpack(self.probes.load(Ordering::Acquire));
        match probes.under_way.saturating_add(probes.succeeded) {
            0 => BreakerState::Open,
            _ => BreakerState::HalfOpen,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.birth.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn time_is_up(&self, opened: u64) -> bool {
        Duration::from_millis(self.now().saturating_sub(opened)) > self.policy.open_for
    }

    /// Changes the probes unless `change` refuses; what they were before.
    fn change(&self, change: impl Fn(Probes) -> Option<Probes>) -> Option<Probes> {
        let packed = |packed| change(Probes::unpack(packed)).map(Probes::pack);
        let before = self.probes.fetch_update(Ordering::AcqRel, Ordering::Acquire, packed);
        before.ok().map(Probes::unpack)
    }

    /// Opens it, if it still is as it was.
    fn open(&self, before: u64, counts: Option<Counts>) {
        let now = self.now();
        if self
            .opened_at
            .compare_exchange(before, now, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            return;
        }
        self.change(Probes::none);
        self.forget();
        let seconds = self.policy.open_for.as_secs_f64();
        let name = &*self.name;
        match counts {
            Some(Counts { calls, failures, slow }) => tracing::warn!(
                target: LOG, client = name, failures, slow, calls, seconds, "circuit breaker opened"
            ),
            None => tracing::warn!(
                target: LOG, client = name, seconds, "circuit breaker opened again: a probe failed"
            ),
        }
    }

    fn forget(&self) {
        self.window.clear();
        self.streak.store(0, Ordering::Release);
    }

    fn close(&self, opened: u64) {
        if self.opened_at.compare_exchange(opened, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.change(Probes::none);
            self.last.store(0, Ordering::Release);
            tracing::warn!(target: LOG, client = &*self.name, "circuit breaker closed");
        }
    }

    /// Takes one call into the window, and opens when there is too much in it.
    fn count(&self, failed: bool, slow: bool) {
        if self.opened_at.load(Ordering::Acquire) != 0 {
            // A straggler that started before it opened must not postpone the end.
            return;
        }
        let now = self.now();
        let last = self.last.swap(now, Ordering::AcqRel);
        if last != 0 && Duration::from_millis(now.saturating_sub(last)) > self.policy.open_for {
            self.forget();
        }
        if failed {
            self.streak.fetch_add(1, Ordering::AcqRel);
        } else {
            self.streak.store(0, Ordering::Release);
        }
        let counts = self.window.record(failed, slow);
        let enough = usize::try_from(counts.calls).is_ok_and(|n| n >= self.policy.minimum_calls);
        let reached =
            |part: u32, rate: f64| part > 0 && f64::from(part) >= rate * f64::from(counts.calls);
        let (failures, slow) = (counts.failures, counts.slow);
        if enough
            && (reached(failures, self.policy.failure_rate) || reached(slow, self.policy.slow_rate))
        {
            self.open(0, Some(counts));
        }
    }
}

impl Permit<'_> {
    /// Reports how the call ended: its error, or `None` for success, and how long its last attempt took.
    pub fn record(self, error: Option<&Error>, took: Duration) {
        let breaker = self.breaker;
        let refused = |error: &Error| matches!(error.status(), Some(400..=499));
        let failed = error.is_some_and(|error| {
            matches!(error.kind(), Kind::Network | Kind::Timeout | Kind::Server) && !refused(error)
        });
        let slow = error.is_none() && breaker.policy.slow.is_some_and(|limit| took > limit);
        let answered = !failed && error.is_none_or(|error| error.status().is_some());
        match self.probe {
            None if failed || error.is_none() => breaker.count(failed, slow),
            None => {}
            Some(opened) if failed || slow => breaker.open(opened, None),
            Some(opened) if answered && breaker.opened_at.load(Ordering::Acquire) == opened => {
                let one_more = |probes: Probes| {
                    let succeeded = probes.succeeded.saturating_add(1);
                    Some(Probes { succeeded, ..probes })
                };
                let before = breaker.change(one_more).map_or(0, |probes| probes.succeeded);
                if before.saturating_add(1) >= breaker.policy.probes {
                    breaker.close(opened);
                }
            }
            Some(_) => {}
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let Some(opened) = self.probe else { return };
        // An opening of its own has probes of its own.
        if self.breaker.opened_at.load(Ordering::Acquire) == opened {
            self.breaker.change(|probes| {
                let under_way = probes.under_way.saturating_sub(1);
                Some(Probes { under_way, ..probes })
            });
        }
    }
}

fn rejected() -> Error {
    Error::new(Kind::CircuitOpen, "Circuit breaker is open, request rejected")
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what #[tokio::test] expands to")]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn breaker(policy: BreakerPolicy) -> Breaker {
        policy.check().unwrap();
        Breaker::new(policy, Arc::from("test"))
    }

    fn end(breaker: &Breaker, kind: Option<Kind>) {
        let error = kind.map(|kind| Error::new(kind, ""));
        breaker.admit().unwrap().record(error.as_ref(), Duration::ZERO);
    }

    fn opened(policy: BreakerPolicy) -> Breaker {
        let breaker = breaker(policy);
        for _ in 0..policy.minimum_calls {
            end(&breaker, Some(Kind::Server));
        }
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker
    }

    #[test]
    fn only_the_servers_faults_count() {
        for kind in Kind::ALL {
            let breaker = breaker(BreakerPolicy::default());
            end(&breaker, Some(kind));
            let counted = matches!(kind, Kind::Network | Kind::Timeout | Kind::Server);
            let failures = u32::from(counted);
            assert_eq!(breaker.state(), BreakerState::Closed { failures }, "{kind}");
        }
        let breaker = breaker(BreakerPolicy::default());
        let waited = Error::new(Kind::Timeout, "").with_status(408);
        breaker.admit().unwrap().record(Some(&waited), Duration::ZERO);
        assert_eq!(breaker.state(), BreakerState::Closed { failures: 0 });
    }

    #[test]
    fn it_opens_at_its_rate_and_not_before_its_minimum() {
        let policy = BreakerPolicy { minimum_calls: 10, window: 20, ..BreakerPolicy::default() };
        let breaker = breaker(policy);
        for _ in 0..9 {
            end(&breaker, Some(Kind::Network));
        }
        assert_eq!(breaker.state().to_string(), "Closed (failures: 9)");
        end(&breaker, None);
        assert_eq!(breaker.state(), BreakerState::Open);

        let breaker = self::breaker(policy);
        for _ in 0..20 {
            end(&breaker, None);
        }
        for failures in 1..10 {
            end(&breaker, Some(Kind::Server));
            assert_eq!(breaker.state(), BreakerState::Closed { failures });
        }
        end(&breaker, Some(Kind::Server));
        assert_eq!(breaker.state(), BreakerState::Open, "10 of the last 20");
    }

    #[test]
    fn a_success_ends_the_count_that_is_shown_but_not_the_one_that_decides() {
        let breaker = breaker(BreakerPolicy::default());
        for _ in 0..3 {
            end(&breaker, Some(Kind::Server));
        }
        end(&breaker, None);
        assert_eq!(breaker.state(), BreakerState::Closed { failures: 0 });
        end(&breaker, Some(Kind::Server));
        assert_eq!(breaker.state(), BreakerState::Open, "4 of the last 5");
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_silence_empties_the_window() {
        let breaker = breaker(BreakerPolicy::default());
        for _ in 0..4 {
            end(&breaker, Some(Kind::Server));
        }
        advance(Duration::from_secs(61)).await;
        end(&breaker, Some(Kind::Server));
        assert_eq!(breaker.state(), BreakerState::Closed { failures: 1 });
    }

    #[test]
    fn slow_calls_open_it_when_asked_to() {
        let slow = Some(Duration::from_secs(2));
        let policy = BreakerPolicy { slow, slow_rate: 0.8, ..BreakerPolicy::default() };
        let took = |breaker: &Breaker, seconds| {
            breaker.admit().unwrap().record(None, Duration::from_secs(seconds));
        };
        let breaker = breaker(policy);
        took(&breaker, 1);
        for _ in 0..3 {
            took(&breaker, 3);
        }
        assert_eq!(breaker.state(), BreakerState::Closed { failures: 0 });
        took(&breaker, 3);
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_for_its_time_and_lets_one_probe_through() {
        let breaker = opened(BreakerPolicy::default());
        assert_eq!(breaker.admit().unwrap_err().kind(), Kind::CircuitOpen);
        advance(Duration::from_secs(60)).await;
        assert!(breaker.admit().is_err());
        advance(Duration::from_millis(2)).await;
        assert_eq!(breaker.state(), BreakerState::Open);
        let probe = breaker.admit().unwrap();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(breaker.admit().is_err());
        probe.record(None, Duration::ZERO);
        assert_eq!(breaker.state(), BreakerState::Closed { failures: 0 });
        assert!(breaker.admit().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_probe_opens_again_and_a_cancelled_one_leaves_its_place() {
        let breaker = opened(BreakerPolicy::default());
        advance(Duration::from_secs(61)).await;
        drop(breaker.admit().unwrap());
        assert_eq!(breaker.state(), BreakerState::Open);
        end(&breaker, Some(Kind::Network));
        assert_eq!(breaker.state(), BreakerState::Open);
        advance(Duration::from_secs(59)).await;
        assert!(breaker.admit().is_err());
        advance(Duration::from_secs(2)).await;
        let refused = Error::new(Kind::BadRequest, "").with_status(400);
        breaker.admit().unwrap().record(Some(&refused), Duration::ZERO);
        assert_eq!(breaker.state(), BreakerState::Closed { failures: 0 });
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_probes_all_must_succeed_and_no_more_run_at_once() {
        let policy = BreakerPolicy { probes: 3, ..BreakerPolicy::default() };
        let breaker = opened(policy);
        advance(Duration::from_secs(61)).await;
        let probes: Vec<_> = (0..3).map(|_| breaker.admit().unwrap()).collect();
        assert!(breaker.admit().is_err());
        for (number, probe) in probes.into_iter().enumerate() {
            assert_eq!(breaker.state(), BreakerState::HalfOpen, "{number}");
            probe.record(None, Duration::ZERO);
        }
        assert_eq!(breaker.state(), BreakerState::Closed { failures: 0 });

        let breaker = opened(policy);
        advance(Duration::from_secs(61)).await;
        let (one, other) = (breaker.admit().unwrap(), breaker.admit().unwrap());
        one.record(Some(&Error::new(Kind::Server, "")), Duration::ZERO);
        other.record(None, Duration::ZERO);
        assert_eq!(breaker.state(), BreakerState::Open, "the late success is of the last opening");
    }

    #[tokio::test(start_paused = true)]
    async fn what_began_before_it_opened_neither_goes_on_nor_postpones_the_end() {
        let breaker = breaker(BreakerPolicy::default());
        let early = breaker.admit().unwrap();
        let late = breaker.admit().unwrap();
        for _ in 0..5 {
            end(&breaker, Some(Kind::Server));
        }
        assert!(!breaker.goes_on(&early));
        advance(Duration::from_secs(59)).await;
        early.record(Some(&Error::new(Kind::Server, "")), Duration::ZERO);
        late.record(None, Duration::ZERO);
        assert_eq!(breaker.state(), BreakerState::Open);
        advance(Duration::from_secs(2)).await;
        assert!(breaker.goes_on(&breaker.admit().unwrap()));
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_threads_one_probes() {
        let breaker = opened(BreakerPolicy::default());
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

    #[test]
    fn a_policy_that_makes_no_sense_is_refused() {
        let refused = |policy: BreakerPolicy, field: &str| {
            let error = policy.check().unwrap_err();
            assert_eq!(error.kind(), Kind::Validation);
            assert!(error.message().contains(field), "{error}");
        };
        let usual = BreakerPolicy::default();
        for rate in [0.0, -1.0, 1.5, f64::NAN] {
            refused(BreakerPolicy { failure_rate: rate, ..usual }, "failure_rate");
            refused(BreakerPolicy { slow_rate: rate, ..usual }, "slow_rate");
        }
        refused(BreakerPolicy { window: 0, ..usual }, "window");
        refused(BreakerPolicy { window: 1_000_001, ..usual }, "window must be at most 1000000");
        refused(BreakerPolicy { minimum_calls: 0, ..usual }, "minimum_calls");
        refused(BreakerPolicy { minimum_calls: 101, ..usual }, "minimum_calls");
        refused(BreakerPolicy { probes: 0, ..usual }, "probes");
    }
}
