//! Hedging: a call that takes unusually long is sent a second time, and the first answer wins.
//!
//! It cuts the slowest few per cent (Dean and Barroso, "The Tail at Scale") at the price of a few more
//! calls, and calls cost money: it is for those who ask for it, sends one second copy a call at most, and
//! only as many as the budget pays for. It refuses to retry: an error that comes before the delay is the
//! attempt's own, and the loser of a race is dropped, which cancels it.
//!
//! ```
//! use graphbit::resilience::{Hedge, HedgeSettings};
//!
//! let hedge = Hedge::new(HedgeSettings::default())?;
//! let answer = graphbit::runtime::block_on(async move { hedge.run(|| async { Ok(42) }).await })?;
//! assert_eq!(answer, 42);
//! # Ok::<(), graphbit::Error>(())
//! ```

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::share;
use crate::error::{Error, Result};

/// Measurements without which a percentile means nothing.
const FEWEST: u32 = 20;
/// Measurements after which all older ones count half.
const HALF_LIFE: u32 = 1_024;
/// Each doubling of the latency has this many buckets: a bucket is an eighth of its octave wide.
const STEPS: u32 = 8;
/// From 8 µs, below which all count alike, to 38 hours.
const BUCKETS: usize = 272;
/// A token of the budget, in parts, so that shares of one can be added.
const TOKEN: u64 = 1_000_000;
/// Tokens that a quiet time saves up.
const SAVED: u64 = 10;

/// When a second copy is sent, and how many may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HedgeSettings {
    /// The delay before the second copy. `None`, the default: the [`HedgeSettings::percentile`] of the
    /// latencies measured so far, once there are 20.
    pub after: Option<Duration>,
    /// Which of the measured latencies is the delay; above 0, below 1, default 0.95.
    pub percentile: f64,
    /// A measured delay is never shorter; default 45 ms.
    pub minimum: Duration,
    /// Second copies as a share of the calls; 0 to 1, default 0.1. A quiet time saves up ten.
    pub budget: f64,
}

impl Default for HedgeSettings {
    fn default() -> Self {
        Self { after: None, percentile: 0.95, minimum: Duration::from_millis(45), budget: 0.1 }
    }
}

/// The hedging of one client: its latencies and its budget. Only atomics, so a forked child may go on
/// using it.
#[derive(Debug)]
pub struct Hedge {
    settings: HedgeSettings,
    latencies: Histogram,
    /// What one call pays in, in parts of a [`TOKEN`].
    share: u64,
    tokens: AtomicU64,
    sent: AtomicU64,
    won: AtomicU64,
}

impl HedgeSettings {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] naming the setting that is out of its range.
    pub fn check(&self) -> Result<()> {
        if self.after.is_some_and(|after| after.is_zero()) {
            return Err(Error::validation("after", Some("0"), "after must be longer than nothing"));
        }
        if !(self.percentile > 0.0 && self.percentile < 1.0) {
            let value = self.percentile.to_string();
            let text = "percentile must be above 0 and below 1";
            return Err(Error::validation("percentile", Some(&value), text));
        }
        share("budget", self.budget, true)
    }
}

impl Hedge {
    /// Nothing measured, nothing saved up: the budget must be earned by calls first.
    ///
    /// # Errors
    /// As [`HedgeSettings::check`].
    pub fn new(settings: HedgeSettings) -> Result<Self> {
        settings.check()?;
        Ok(Self::unchecked(settings))
    }

    /// The same for settings that were checked before.
    #[expect(clippy::cast_possible_truncation, reason = "between zero and a token")]
    pub(super) fn unchecked(settings: HedgeSettings) -> Self {
        Self {
            share: (settings.budget.clamp(0.0, 1.0) * TOKEN as f64).round() as u64,
            settings,
            latencies: Histogram::new(),
            tokens: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            won: AtomicU64::new(0),
        }
    }

    /// Runs `attempt`, and once more beside it if it takes too long. Dropping the future cancels both.
    ///
    /// # Errors
    /// The attempt's own; of two that failed, the first one's.
    pub async fn run<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.earn();
        let started = Instant::now();
        let mut first = pin!(attempt());
        let Some(delay) = self.delay() else {
            return self.measured(started, first.await);
        };
        tokio::select! {
            biased;
            result = &mut first => return self.measured(started, result),
            () = sleep(delay) => {}
        }
        if !self.pay() {
            return self.measured(started, first.await);
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(
            target: "graphbit::resilience",
            delay_ms = delay.as_secs_f64() * 1000.0,
            "no answer yet: sending a second copy",
        );
        // In a box: few calls have a second copy, and all would hold the room for it.
        let mut second = Box::pin(attempt());
        tokio::select! {
            biased;
            result = &mut first => match self.measured(started, result) {
                Ok(value) => Ok(value),
                Err(error) => match second.await {
                    Ok(value) => Ok(self.win(value)),
                    Err(_) => Err(error),
                },
            },
            result = &mut second => match result {
                Ok(value) => {
                    // How long the first would have taken is unknown, but not less than this. Without
                    // it the percentile would sink with each copy that wins.
                    self.latencies.record(started.elapsed());
                    Ok(self.win(value))
                }
                Err(_) => self.measured(started, first.await),
            },
        }
    }

    /// Second copies sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Second copies whose answer was used.
    #[must_use]
    pub fn won(&self) -> u64 {
        self.won.load(Ordering::Relaxed)
    }

    fn delay(&self) -> Option<Duration> {
        match self.settings.after {
            Some(after) => Some(after),
            None => {
                let measured = self.latencies.percentile(self.settings.percentile)?;
                Some(measured.max(self.settings.minimum))
            }
        }
    }

    /// An error's speed says nothing about how long an answer takes.
    fn measured<T>(&self, started: Instant, result: Result<T>) -> Result<T> {
        if result.is_ok() {
            self.latencies.record(started.elapsed());
        }
        result
    }

    fn win<T>(&self, value: T) -> T {
        self.won.fetch_add(1, Ordering::Relaxed);
        value
    }

    fn earn(&self) {
        let _ = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| {
            Some(tokens.saturating_add(self.share).min(SAVED.saturating_mul(TOKEN)))
        });
    }

    fn pay(&self) -> bool {
        let paid = self
            .tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| tokens.checked_sub(TOKEN));
        paid.is_ok()
    }
}

/// Latencies in buckets that widen with them. Recent ones count more.
#[derive(Debug)]
struct Histogram {
    buckets: [AtomicU32; BUCKETS],
    recorded: AtomicU32,
}

impl Histogram {
    fn new() -> Self {
        Self { buckets: [const { AtomicU32::new(0) }; BUCKETS], recorded: AtomicU32::new(0) }
    }

    fn record(&self, latency: Duration) {
        if let Some(bucket) = self.buckets.get(bucket_of(latency)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let recorded = self.recorded.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if recorded.is_multiple_of(HALF_LIFE) {
            for bucket in &self.buckets {
                let _ = bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some(n / 2));
            }
        }
    }

    /// The upper end of the bucket that the percentile falls into; `None` before [`FEWEST`].
    fn percentile(&self, percentile: f64) -> Option<Duration> {
        let count = |bucket: &AtomicU32| bucket.load(Ordering::Relaxed);
        let total: u32 = self.buckets.iter().map(count).fold(0, u32::saturating_add);
        if total < FEWEST {
            return None;
        }
        let wanted = f64::from(total) * percentile;
        let mut below = 0_u32;
        let position = self.buckets.iter().position(|bucket| {
            below = below.saturating_add(count(bucket));
            f64::from(below) >= wanted
        });
        Some(upper_end(position?))
    }
}

fn bucket_of(latency: Duration) -> usize {
    let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(8);
    let octave = microseconds.ilog2().saturating_sub(3);
    // The three binary digits behind the leading one.
    let step = (microseconds >> octave) & 7;
    let bucket = u64::from(octave.saturating_mul(STEPS)).saturating_add(step);
    usize::try_from(bucket).unwrap_or(usize::MAX).min(BUCKETS.saturating_sub(1))
}

fn upper_end(bucket: usize) -> Duration {
    let bucket = u32::try_from(bucket).unwrap_or(u32::MAX);
    let eighths = u64::from(bucket % STEPS).saturating_add(9);
    Duration::from_micros(eighths.checked_shl(bucket / STEPS).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what #[tokio::test] expands to")]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    const DELAY: Duration = Duration::from_millis(100);

    fn after(delay: Duration) -> HedgeSettings {
        HedgeSettings { after: Some(delay), budget: 1.0, ..HedgeSettings::default() }
    }

    /// One copy's fate: how long it takes, and what comes then.
    type Fate = (u64, Result<&'static str, &'static str>);

    /// Runs one call whose copies meet these fates; the outcome, the time in ms, and how many copies
    /// were begun and how many ran to their end.
    async fn run(
        hedge: &Hedge,
        fates: &[Fate],
    ) -> (Result<&'static str, String>, u128, [usize; 2]) {
        let [begun, ended] = [AtomicUsize::new(0), AtomicUsize::new(0)];
        let started = Instant::now();
        let result = hedge
            .run(|| {
                let (milliseconds, fate) = fates[begun.fetch_add(1, Ordering::SeqCst)];
                let ended = &ended;
                async move {
                    sleep(Duration::from_millis(milliseconds)).await;
                    ended.fetch_add(1, Ordering::SeqCst);
                    fate.map_err(|text| Error::new(Kind::Server, text))
                }
            })
            .await;
        let took = started.elapsed().as_millis();
        // A loser that was not dropped would end now.
        sleep(Duration::from_secs(60)).await;
        let result = result.map_err(|error| error.to_string());
        (result, took, [begun.into_inner(), ended.into_inner()])
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_wins_and_the_loser_is_cancelled() {
        let hedge = Hedge::new(after(DELAY)).unwrap();
        let quick = run(&hedge, &[(99, Ok("first"))]).await;
        assert_eq!(quick, (Ok("first"), 99, [1, 1]));
        let slow = run(&hedge, &[(5_000, Ok("first")), (50, Ok("second"))]).await;
        assert_eq!(slow, (Ok("second"), 150, [2, 1]));
        let close = run(&hedge, &[(120, Ok("first")), (50, Ok("second"))]).await;
        assert_eq!(close, (Ok("first"), 120, [2, 1]));
        assert_eq!((hedge.sent(), hedge.won()), (2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_before_the_delay_is_returned_and_a_later_one_waits_for_the_other() {
        let hedge = Hedge::new(after(DELAY)).unwrap();
        let early = run(&hedge, &[(10, Err("first"))]).await;
        assert_eq!(early, (Err("first".to_owned()), 10, [1, 1]));
        let late = run(&hedge, &[(150, Err("first")), (200, Ok("second"))]).await;
        assert_eq!(late, (Ok("second"), 300, [2, 2]));
        let copy = run(&hedge, &[(400, Ok("first")), (20, Err("second"))]).await;
        assert_eq!(copy, (Ok("first"), 400, [2, 2]));
        for fates in [[(150, Err("first")), (200, Err("b"))], [(400, Err("first")), (20, Err("b"))]]
        {
            let (result, _, copies) = run(&hedge, &fates).await;
            assert_eq!((result, copies), (Err("first".to_owned()), [2, 2]));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn second_copies_stay_within_their_share_of_the_calls() {
        let settings = HedgeSettings { budget: 0.1, ..after(DELAY) };
        let hedge = Hedge::new(settings).unwrap();
        for calls in 1..=500 {
            let _ = run(&hedge, &[(5_000, Ok("first")), (50, Ok("second"))]).await;
            assert!(hedge.sent() * 10 <= calls, "{} of {calls}", hedge.sent());
        }
        assert_eq!(hedge.sent(), 50);
        for _ in 0..1_000 {
            let _ = run(&hedge, &[(1, Ok("first"))]).await;
        }
        for _ in 0..100 {
            let _ = run(&hedge, &[(5_000, Ok("first")), (50, Ok("second"))]).await;
        }
        assert!(hedge.sent() <= 50 + 10 + 10, "a quiet time saves up ten: {}", hedge.sent());
        let none = Hedge::new(HedgeSettings { budget: 0.0, ..after(DELAY) }).unwrap();
        assert_eq!(run(&none, &[(5_000, Ok("first"))]).await.2, [1, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_delay_is_the_measured_percentile_but_no_shorter_than_the_minimum() {
        let settings = HedgeSettings { budget: 1.0, ..HedgeSettings::default() };
        let slow = [(5_000, Ok("first")), (50, Ok("second"))];
        for (usual, delay) in [(200, 200..=226), (1, 45..=46)] {
            let hedge = Hedge::new(settings).unwrap();
            for _ in 0..19 {
                let _ = run(&hedge, &[(usual, Ok("first"))]).await;
            }
            assert_eq!(run(&hedge, &slow[..1]).await.1, 5_000, "too few measurements");
            for _ in 0..20 {
                let _ = run(&hedge, &[(usual, Ok("first"))]).await;
            }
            let (_, took, copies) = run(&hedge, &slow).await;
            assert!(delay.contains(&(took - 50)) && copies == [2, 1], "{took}");
        }
    }

    #[test]
    fn what_was_measured_long_ago_fades() {
        let histogram = Histogram::new();
        (0..10_000).for_each(|_| histogram.record(Duration::from_secs(9)));
        (0..10_000).for_each(|_| histogram.record(DELAY));
        let now = histogram.percentile(0.95).unwrap();
        assert!(now < Duration::from_millis(113), "{now:?}");
    }

    #[test]
    fn unusable_settings_are_refused_by_name() {
        let usual = HedgeSettings::default();
        for (settings, field) in [
            (HedgeSettings { after: Some(Duration::ZERO), ..usual }, "after"),
            (HedgeSettings { percentile: 1.0, ..usual }, "percentile"),
            (HedgeSettings { percentile: f64::NAN, ..usual }, "percentile"),
            (HedgeSettings { budget: 1.5, ..usual }, "budget"),
        ] {
            let error = Hedge::new(settings).unwrap_err();
            assert!(error.message().contains(&format!("'{field}'")), "{error}");
        }
    }

    proptest! {
        /// Never below the true percentile, and above it by no more than an eighth.
        #[test]
        fn a_bucket_is_an_eighth_wide(
            mut latencies in prop::collection::vec(8_u64..100_000_000_000, 20..300),
            percentile in 0.01..0.99_f64,
        ) {
            let histogram = Histogram::new();
            for latency in &latencies {
                histogram.record(Duration::from_micros(*latency));
            }
            latencies.sort_unstable();
            let wanted = percentile * latencies.len() as f64;
            let rank = (0..latencies.len()).find(|below| (below + 1) as f64 >= wanted).unwrap();
            let exact = Duration::from_micros(latencies[rank]);
            let found = histogram.percentile(percentile).unwrap();
            prop_assert!(found > exact && found <= exact.mul_f64(1.13), "{found:?} for {exact:?}");
        }
    }
}
