//! Trying again: as often as the policy allows and the error advises, never past the deadline.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::error::{Advice, Error, Kind, Result};

/// Leaves room for the longest wait that a server may ask for.
const SHORTEST_DEADLINE: Duration = Duration::from_secs(120);

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

/// How often, how fast and how long to try. The default is 4 attempts, 100 ms doubling up to 5 s,
/// jitter, no deadline.
#[derive(Clone)]
pub struct RetryPolicy {
    /// All attempts, the first included; 0 counts as 1.
    pub attempts: u32,
    /// The first pause; each further one is twice as long.
    pub base: Duration,
    /// The longest pause of our own; a server's `Retry-After` may be longer.
    pub cap: Duration,
    /// Lengthens pauses by up to a quarter, so that clients that failed together do not return together.
    pub jitter: bool,
    /// For the whole call with all attempts and pauses.
    pub deadline: Option<Duration>,
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
            .finish_non_exhaustive()
    }
}

impl RetryPolicy {
    /// The default policy for attempts limited to `limit` each: the whole call may take twice as
    /// long, and no less than 120 s. Without a limit there is no deadline.
    #[must_use]
    pub fn for_attempts(limit: Option<Duration>) -> Self {
        let deadline = limit.map(|limit| limit.saturating_mul(2).max(SHORTEST_DEADLINE));
        Self { deadline, ..Self::default() }
    }

    /// The pause after failed attempt number `attempt`, from 1.
    fn pause(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let mut pause = self.base.saturating_mul(1 << doublings).min(self.cap);
        if self.jitter {
            // Only ever longer: 0.6.8's callers rely on the pauses as a minimum.
            pause = pause.saturating_add(pause.mul_f64(fastrand::f64() * 0.25));
        }
        asked.map_or(pause, |asked| asked.max(pause))
    }
}

/// Runs `attempt` until it succeeds or another attempt cannot help.
///
/// # Errors
/// The last attempt's error, with the number of attempts; [`Kind::Timeout`] when the deadline cut an attempt short.
pub async fn retry<T, F>(policy: &RetryPolicy, mut attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let deadline = policy.deadline.and_then(|limit| Instant::now().checked_add(limit));
    let mut number = 1;
    let mut retried_once = false;
    loop {
        let result = match deadline {
            None => attempt().await,
            Some(at) => match timeout_at(at, attempt()).await {
                Ok(result) => result,
                Err(_) => return Err(past_deadline(policy.deadline.unwrap_or_default(), number)),
            },
        };
        let error = match result {
            Ok(value) => return Ok(value),
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
        if let Some(on_retry) = &policy.on_retry {
            on_retry(&RetryEvent { attempt: number, pause, error: &error });
        }
        sleep(pause).await;
        number = number.saturating_add(1);
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
        let result = retry(policy, || {
            times.lock().unwrap().push(started.elapsed().as_millis());
            let outcome = errors.next().map_or(Ok(()), Err);
            async move { outcome }
        })
        .await;
        (result, times.into_inner().unwrap())
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
    async fn jitter_only_lengthens_and_only_by_a_quarter() {
        for _ in 0..200 {
            let (_, times) = run(&RetryPolicy::default(), failures(Kind::Network, 9)).await;
            let pauses = times.windows(2).map(|pair| pair[1] - pair[0]);
            for (pause, base) in pauses.zip([100, 200, 400]) {
                assert!(pause >= base && pause <= base * 5 / 4 + 2, "{times:?}");
            }
        }
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
        let result: Result<()> = retry(&policy, std::future::pending).await;
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
