//! Trying again: as often as the policy allows and the error advises, never past the deadline.
//!
//! Whether an error can heal is its own [`Advice`]; this file says how often, when, and at whose expense:
//! [`RetryBudget`] keeps the retries of a whole client a fraction of its calls, so that a server in
//! trouble is not drowned by them.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::budget::RetryBudget;
use super::{LOG, share};
use crate::error::{Advice, Error, Kind, Result};

/// Leaves room for the longest wait that a server may ask for.
const SHORTEST_DEADLINE: Duration = Duration::from_secs(120);
/// What a budget may save up for a burst of failures, as time at its least rate.
const BUDGET_WINDOW: Duration = Duration::from_secs(10);

/// Told before each pause; must not block.
pub type OnRetry = Arc<dyn Fn(&RetryEvent<'_>) + Send + Sync>;

/// A failed attempt that will be followed by another.
#[derive(Debug)]
pub struct RetryEvent<'a> {
    /// The number of the attempt that failed, from 1.
    pub attempt: u32,
    /// The pause that now begins.
    pub pause: Duration,
    /// Why it failed.
    pub error: &'a Error,
}

/// How often, how fast and how long to try. The default is 4 attempts with pauses from 100, 200 and
/// 400 ms on (as in GraphBit 0.6.8), no deadline, and a budget of a fifth of the calls plus ten a second
/// (the usual figures of RPC libraries).
#[derive(Clone)]
pub struct RetryPolicy {
    /// All attempts, the first included; 0 counts as 1.
    pub attempts: u32,
    /// The first pause; each further one is twice as long.
    pub base: Duration,
    /// The longest pause of our own; a server's `Retry-After` may be longer.
    pub cap: Duration,
    /// Lengthens each pause by a random part of itself, up to the whole, so that clients that failed
    /// together do not return together. 0.6.8's callers may rely on the pauses as a minimum.
    pub jitter: bool,
    /// For the whole call with all attempts, waits and pauses.
    pub deadline: Option<Duration>,
    /// The longest wait a server may ask for; a longer one is cut to it.
    pub longest_wait: Duration,
    /// Retries that a client may make without success, as a share of its calls, 0 to 1.
    pub budget: f64,
    /// How many of them it may make a second however few its calls are.
    pub budget_per_second: f64,
    /// Told before each pause.
    pub on_retry: Option<OnRetry>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 4,
            base: Duration::from_millis(100),
            cap: Duration::from_secs(5),
            jitter: true,
            deadline: None,
            longest_wait: Duration::from_secs(120),
            budget: 0.2,
            budget_per_second: 10.0,
            on_retry: None,
        }
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("attempts", &self.attempts)
            .field("base", &self.base)
            .field("cap", &self.cap)
            .field("jitter", &self.jitter)
            .field("deadline", &self.deadline)
            .field("longest_wait", &self.longest_wait)
            .field("budget", &self.budget)
            .field("budget_per_second", &self.budget_per_second)
            .finish_non_exhaustive()
    }
}

impl RetryPolicy {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// [`Kind::Validation`], naming the field.
    pub fn check(&self) -> Result<()> {
        share("budget", self.budget, true)?;
        if !(self.budget_per_second.is_finite() && self.budget_per_second >= 0.0) {
            let value = self.budget_per_second.to_string();
            let text = "budget_per_second must be a finite number, at least 0";
            return Err(Error::validation("budget_per_second", Some(&value), text));
        }
        Ok(())
    }

    /// The default deadline for attempts limited to `limit` each: the whole call may take twice as
    /// long, and no less than 120 s. Without a limit there is no deadline.
    #[must_use]
    pub fn for_attempts(limit: Option<Duration>) -> Self {
        Self::default().within(limit)
    }

    /// The same policy with the default deadline, unless it has one.
    #[must_use]
    pub fn within(mut self, limit: Option<Duration>) -> Self {
        let usual = limit.map(|limit| limit.saturating_mul(2).max(SHORTEST_DEADLINE));
        self.deadline = self.deadline.or(usual);
        self
    }

    /// What a client with this policy may spend on retries.
    #[must_use]
    pub fn budget(&self) -> RetryBudget {
        RetryBudget::unchecked(self.budget, self.budget_per_second, BUDGET_WINDOW)
    }

    /// The pause after failed attempt number `attempt`, from 1.
    fn pause(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let grown = self.base.saturating_mul(1 << doublings).min(self.cap);
        let mut pause = grown;
        if self.jitter {
            // At the cap the spread lies below it: clients that are all there must not march in step.
            let floor = grown.min(self.cap / 2).max(self.base.min(self.cap));
            let spread = floor.min(self.cap.saturating_sub(floor));
            pause = floor.saturating_add(spread.mul_f64(fastrand::f64()));
        }
        asked.map_or(pause, |asked| asked.min(self.longest_wait).max(pause))
    }
}

/// One call's attempts and what limits them.
pub(super) struct Retries<'a> {
    pub(super) policy: &'a RetryPolicy,
    pub(super) budget: &'a RetryBudget,
    /// Whose call it is, for the log.
    pub(super) name: &'a str,
}

impl Retries<'_> {
    /// Runs `attempt` until it succeeds or another attempt cannot help; `goes_on` is asked before each
    /// further one.
    ///
    /// # Errors
    /// The last attempt's error, with the number of attempts; [`Kind::Timeout`] when the deadline cut an
    /// attempt short.
    pub(super) async fn run<T, F>(
        &self,
        goes_on: impl Fn() -> bool,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let policy = self.policy;
        let deadline = policy.deadline.and_then(|limit| Instant::now().checked_add(limit));
        self.budget.deposit();
        let mut number = 1;
        let mut retried_once = false;
        let mut paid = false;
        loop {
            // Pinned before the two arms, or each would hold a copy of it.
            let work = pin!(attempt());
            let result = match deadline {
                None => work.await,
                Some(at) => match timeout_at(at, work).await {
                    Ok(result) => result,
                    Err(_) => {
                        return Err(past_deadline(policy.deadline.unwrap_or_default(), number));
                    }
                },
            };
            let error = match result {
                Ok(value) => {
                    if paid {
                        self.budget.refund();
                    }
                    return Ok(value);
                }
                Err(error) => error,
            };
            let asked = match error.advice() {
                Advice::Retry { after } => after,
                Advice::RetryOnce if !retried_once => {
                    retried_once = true;
                    None
                }
                Advice::Never | Advice::RetryOnce => return Err(error.with_attempts(number)),
            };
            // Whatever its advice says: the caller is gone.
            if error.kind() == Kind::Cancelled || number >= policy.attempts {
                return Err(error.with_attempts(number));
            }
            let pause = policy.pause(number, asked);
            // Waiting just to fail at the deadline would only delay the news.
            if deadline.is_some_and(|at| at.saturating_duration_since(Instant::now()) <= pause) {
                return Err(error.with_attempts(number));
            }
            if !goes_on() {
                return Err(error.with_attempts(number));
            }
            // Refusing costs a server little, and the limits below heed it: no storm to end.
            paid = error.kind() != Kind::RateLimited;
            if paid && !self.budget.withdraw() {
                let kind = error.kind().as_str();
                tracing::info!(target: LOG, client = self.name, kind, "retry budget spent");
                return Err(error.with_attempts(number));
            }
            self.tell(number, pause, &error);
            sleep(pause).await;
            if !goes_on() {
                return Err(error.with_attempts(number));
            }
            number = number.saturating_add(1);
        }
    }

    fn tell(&self, attempt: u32, pause: Duration, error: &Error) {
        tracing::info!(
            target: LOG,
            client = self.name,
            attempt,
            pause_ms = pause.as_secs_f64() * 1000.0,
            kind = error.kind().as_str(),
            status = error.status(),
            "trying again"
        );
        if let Some(on_retry) = &self.policy.on_retry {
            on_retry(&RetryEvent { attempt, pause, error });
        }
    }
}

fn past_deadline(limit: Duration, attempt: u32) -> Error {
    let text = format!(
        "Request failed: the deadline of {}s passed during attempt {attempt}",
        limit.as_secs_f64()
    );
    Error::new(Kind::Timeout, text).with_advice(Advice::Never).with_attempts(attempt)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what #[tokio::test] expands to")]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Fails with each error in turn, then succeeds; returns the outcome and the attempts' times in ms.
    async fn run(policy: &RetryPolicy, errors: Vec<Error>) -> (Result<()>, Vec<u128>) {
        let started = Instant::now();
        let times = Mutex::new(Vec::new());
        let mut errors = errors.into_iter();
        let budget = policy.budget();
        let attempt = || {
            times.lock().unwrap().push(started.elapsed().as_millis());
            let outcome = errors.next().map_or(Ok(()), Err);
            async move { outcome }
        };
        let result = retries(policy, &budget).run(|| true, attempt).await;
        (result, times.into_inner().unwrap())
    }

    fn retries<'a>(policy: &'a RetryPolicy, budget: &'a RetryBudget) -> Retries<'a> {
        Retries { policy, budget, name: "test" }
    }

    fn failures(kind: Kind, count: usize) -> Vec<Error> {
        (0..count).map(|number| Error::new(kind, format!("failure {number}"))).collect()
    }

    fn steady() -> RetryPolicy {
        RetryPolicy { jitter: false, ..RetryPolicy::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn four_attempts_with_doubling_pauses_and_the_last_error() {
        let (result, times) = run(&steady(), failures(Kind::Server, 9)).await;
        assert_eq!(times, [0, 100, 300, 700]);
        assert_eq!(result.unwrap_err().message(), "failure 3");
    }

    #[tokio::test(start_paused = true)]
    async fn jitter_lengthens_each_pause_by_up_to_itself() {
        let mut spread = [0_u128; 3];
        for _ in 0..200 {
            let (_, times) = run(&RetryPolicy::default(), failures(Kind::Network, 9)).await;
            let pauses = times.windows(2).map(|pair| pair[1] - pair[0]);
            for ((pause, base), most) in pauses.zip([100, 200, 400]).zip(&mut spread) {
                assert!(pause >= base && pause <= base * 2 + 2, "{times:?}");
                *most = (pause - base).max(*most);
            }
        }
        assert!(spread[0] > 80 && spread[1] > 160 && spread[2] > 320, "{spread:?}");
        let seconds = Duration::from_secs;
        let policy = RetryPolicy { base: seconds(3), ..RetryPolicy::default() };
        for attempt in 1..9 {
            let pause = policy.pause(attempt, None);
            assert!(pause >= seconds(3) && pause <= seconds(5), "{pause:?}");
        }
        let pauses: Vec<_> = (0..50).map(|_| policy.pause(40, None)).collect();
        assert!(pauses.iter().any(|pause| *pause != pauses[0]), "spread at the cap too");
    }

    #[test]
    fn a_servers_wait_is_obeyed_and_capped() {
        let policy = RetryPolicy { longest_wait: Duration::from_secs(7), ..steady() };
        let asked = |seconds| policy.pause(1, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(5), Duration::from_secs(5));
        assert_eq!(asked(1_000_000_000), Duration::from_secs(7));
        assert_eq!(asked(0), Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn fruitless_retries_wear_the_budget_down_and_fruitful_ones_do_not() {
        let policy = RetryPolicy { budget: 0.5, budget_per_second: 0.0, ..steady() };
        let budget = policy.budget();
        let attempts = Mutex::new(0);
        let count = |outcomes: &'static [bool]| {
            let (retries, attempts) = (retries(&policy, &budget), &attempts);
            async move {
                let mut outcomes = outcomes.iter();
                *attempts.lock().unwrap() = 0;
                let attempt = || {
                    *attempts.lock().unwrap() += 1;
                    let well = outcomes.next() == Some(&true);
                    let outcome = well.then_some(()).ok_or_else(|| Error::new(Kind::Server, ""));
                    async move { outcome }
                };
                let _ = retries.run(|| true, attempt).await;
                *attempts.lock().unwrap()
            }
        };
        // The first call brings half a retry, the second another half, which it spends.
        assert_eq!(count(&[]).await, 1);
        assert_eq!(count(&[]).await, 2);
        assert_eq!(count(&[]).await, 1);
        for _ in 0..100 {
            assert_eq!(count(&[false, true]).await, 2, "an answer gives the retry back");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_for_being_too_fast_costs_no_budget() {
        let policy = RetryPolicy { budget: 0.0, budget_per_second: 0.0, ..steady() };
        assert_eq!(run(&policy, failures(Kind::RateLimited, 9)).await.1.len(), 4);
        assert_eq!(run(&policy, failures(Kind::Server, 9)).await.1.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_must_not_go_on_ends_with_its_own_error() {
        let (policy, mut left) = (steady(), 2);
        let budget = policy.budget();
        let attempt = || async { Err::<(), _>(Error::new(Kind::Server, "broken")) };
        let asked = std::cell::Cell::new(0);
        let goes_on = || {
            asked.set(asked.get() + 1);
            asked.get() < 3
        };
        let counted = || {
            left -= 1;
            attempt()
        };
        let error = retries(&policy, &budget).run(goes_on, counted).await.unwrap_err();
        assert_eq!((error.message(), error.attempts()), ("broken", Some(2)));
        assert_eq!(left, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_are_capped_but_the_server_may_ask_for_more() {
        let policy = RetryPolicy { attempts: 3, base: Duration::from_secs(4), ..steady() };
        let (_, times) = run(&policy, failures(Kind::Server, 9)).await;
        assert_eq!(times, [0, 4000, 9000]);
        let after = Some(Duration::from_secs(30));
        let asking = Error::new(Kind::RateLimited, "").with_advice(Advice::Retry { after });
        let (result, times) = run(&steady(), vec![asking]).await;
        assert!(result.is_ok());
        assert_eq!(times, [0, 30_000]);
        let after = Some(Duration::from_millis(1));
        let asking = Error::new(Kind::RateLimited, "").with_advice(Advice::Retry { after });
        assert_eq!(run(&steady(), vec![asking]).await.1, [0, 100]);
    }

    #[test]
    fn a_budget_that_makes_no_sense_is_refused() {
        for budget in [-0.1, 1.1, f64::NAN] {
            let error = RetryPolicy { budget, ..steady() }.check().unwrap_err();
            assert!(error.message().contains("'budget'"), "{error}");
        }
        for budget_per_second in [-1.0, f64::INFINITY] {
            assert!(RetryPolicy { budget_per_second, ..steady() }.check().is_err());
        }
        assert!(RetryPolicy { budget: 0.0, budget_per_second: 0.0, ..steady() }.check().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn errors_that_cannot_heal_are_returned_at_once() {
        for kind in Kind::ALL {
            let attempts = run(&steady(), failures(kind, 9)).await.1.len();
            let expected = match Error::new(kind, "").advice() {
                Advice::Never => 1,
                Advice::RetryOnce => 2,
                Advice::Retry { .. } => 4,
            };
            assert_eq!(attempts, expected, "{kind}");
        }
        let stubborn = Error::new(Kind::Cancelled, "").with_advice(Advice::Retry { after: None });
        assert_eq!(run(&steady(), vec![stubborn]).await.1.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_is_never_slept_past() {
        let policy = RetryPolicy { deadline: Some(Duration::from_millis(250)), ..steady() };
        let started = Instant::now();
        let (result, times) = run(&policy, failures(Kind::Server, 9)).await;
        assert_eq!(times, [0, 100]);
        assert_eq!(started.elapsed().as_millis(), 100);
        assert_eq!(result.unwrap_err().kind(), Kind::Server);
    }

    #[test]
    fn a_calls_deadline_leaves_room_for_two_attempts() {
        let deadline = |limit| RetryPolicy::for_attempts(limit).deadline;
        assert_eq!(deadline(None), None);
        assert_eq!(deadline(Some(Duration::from_secs(1))), Some(Duration::from_secs(120)));
        assert_eq!(deadline(Some(Duration::from_secs(300))), Some(Duration::from_secs(600)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_cuts_an_attempt_short() {
        let policy = RetryPolicy { deadline: Some(Duration::from_millis(250)), ..steady() };
        let started = Instant::now();
        let budget = policy.budget();
        let result: Result<()> = retries(&policy, &budget).run(|| true, std::future::pending).await;
        assert_eq!(result.unwrap_err().kind(), Kind::Timeout);
        assert_eq!(started.elapsed().as_millis(), 250);
    }

    #[tokio::test(start_paused = true)]
    async fn each_retry_is_reported_before_its_pause() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let on_retry: OnRetry = Arc::new(move |event| {
            let text = event.error.to_string();
            sink.lock().unwrap().push((event.attempt, event.pause.as_millis(), text));
        });
        let policy = RetryPolicy { on_retry: Some(on_retry), ..steady() };
        let _ = run(&policy, failures(Kind::Server, 2)).await;
        let expected = [(1, 100, "failure 0".to_owned()), (2, 200, "failure 1".to_owned())];
        assert_eq!(*seen.lock().unwrap(), expected);
    }
}
