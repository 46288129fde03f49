//! The retry budget of one client: a server that fails everything must not get everything several times.
//!
//! Over a sliding window, retries may be a share of the calls plus a number a second, which is the shape
//! of tower's `TpsBudget` and whose defaults ours are. A retry that brings an answer gives its token
//! back, as AWS' retry quota has it: only fruitless ones wear the budget down.
//!
//! It refuses to decide what is worth a retry; it only counts. Atomics alone, because a lock held by
//! another thread at a fork would stay locked in the child.
//!
//! ```
//! use graphbit::resilience::RetryBudget;
//! use std::time::Duration;
//!
//! let budget = RetryBudget::new(0.2, 0.0, Duration::from_secs(10))?;
//! for _ in 0..5 {
//!     budget.deposit();
//! }
//! assert!(budget.withdraw());
//! assert!(!budget.withdraw(), "five calls pay for one retry");
//! # Ok::<(), graphbit::Error>(())
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, Result};

/// Parts of a window that expire one after the other.
const PARTS: u32 = 10;
/// The part under way and as many before it as make a full window.
const SLOTS: usize = 11;

/// How many retries the calls of the last window pay for. The default: a fifth of the calls, plus ten a
/// second, over ten seconds.
///
/// With everything failing, the retries of any stretch of time are at most `share` × the calls up to its
/// end + `per_second` × (its seconds + the window's). Of several retries that race for the last token,
/// each may be refused, but none too many is granted.
#[derive(Debug)]
pub struct RetryBudget {
    share: f64,
    /// Retries in a window that no call pays for.
    reserve: f64,
    part: Duration,
    birth: Instant,
    calls: Tally,
    retries: Tally,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::unchecked(0.2, 10.0, Duration::from_secs(10))
    }
}

impl RetryBudget {
    /// Retries up to `share` × the calls of the last `window`, plus `per_second` × `window`. Both zero
    /// means no retries at all.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] for a number that is negative, infinite or none, and for a window
    /// under 10 ms.
    pub fn new(share: f64, per_second: f64, window: Duration) -> Result<Self> {
        for (field, value) in [("share", share), ("per_second", per_second)] {
            if !(0.0..f64::INFINITY).contains(&value) {
                let text = "must be a number of at least 0";
                return Err(Error::validation(field, Some(&value.to_string()), text));
            }
        }
        if window < Duration::from_millis(10) {
            let value = format!("{window:?}");
            return Err(Error::validation("window", Some(&value), "must be at least 10 ms"));
        }
        Ok(Self::unchecked(share, per_second, window))
    }

    /// The same for numbers that were checked before.
    pub(super) fn unchecked(share: f64, per_second: f64, window: Duration) -> Self {
        Self {
            share,
            reserve: per_second * window.as_secs_f64(),
            part: window / PARTS,
            birth: Instant::now(),
            calls: Tally::default(),
            retries: Tally::default(),
        }
    }

    /// A call begins.
    pub fn deposit(&self) {
        self.calls.add(self.present());
    }

    /// A retry wants to start: whether there is a token for it.
    #[must_use]
    pub fn withdraw(&self) -> bool {
        let present = self.present();
        // Counted before the sum is looked at: of retries that come at once, the one counted last sees
        // all the others, so that they cannot exceed the sum together.
        self.retries.add(present);
        let allowed = self.share * self.calls.total(present) + self.reserve;
        // The share is rarely a binary fraction: five times 0.2 has to be one.
        let granted = self.retries.total(present) <= allowed + 1e-6;
        if !granted {
            self.retries.take_back(present);
        }
        granted
    }

    /// A retry that [`RetryBudget::withdraw`] granted brought an answer: its token comes back. The token
    /// of a retry older than the window came back with time, so the budget never exceeds its size.
    pub fn refund(&self) {
        let present = self.present();
        let oldest = present.saturating_sub(PARTS);
        let _ = (oldest..=present).rev().any(|part| self.retries.take_back(part));
    }

    /// The number of the part of a window that is under way.
    fn present(&self) -> u32 {
        let parts = self.birth.elapsed().as_nanos() / self.part.as_nanos().max(1);
        u32::try_from(parts).unwrap_or(u32::MAX)
    }
}

/// How often something happened in each part of the last window.
#[derive(Debug, Default)]
struct Tally([AtomicU64; SLOTS]);

impl Tally {
    fn slot(&self, part: u32) -> Option<&AtomicU64> {
        self.0.get(usize::try_from(part).ok()? % SLOTS)
    }

    fn add(&self, part: u32) {
        let Some(slot) = self.slot(part) else { return };
        let _ = slot.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |packed| {
            let (stamp, count) = unpack(packed);
            let count = if stamp == part { count } else { 0 };
            // A thread that slept since it looked at the clock must not undo a later part.
            (stamp <= part).then(|| pack(part, count.saturating_add(1)))
        });
    }

    /// Whether there was one to take.
    fn take_back(&self, part: u32) -> bool {
        let Some(slot) = self.slot(part) else { return false };
        let taken = slot.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |packed| {
            let (stamp, count) = unpack(packed);
            (stamp == part && count > 0).then(|| pack(part, count.saturating_sub(1)))
        });
        taken.is_ok()
    }

    fn total(&self, present: u32) -> f64 {
        let oldest = present.saturating_sub(PARTS);
        let counts = self.0.iter().map(|slot| unpack(slot.load(Ordering::SeqCst)));
        counts.filter(|(stamp, _)| *stamp >= oldest).map(|(_, count)| f64::from(count)).sum()
    }
}

fn pack(stamp: u32, count: u32) -> u64 {
    u64::from(stamp) << 32 | u64::from(count)
}

fn unpack(packed: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = packed.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what #[tokio::test] expands to")]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn granted(budget: &RetryBudget, wanted: usize) -> usize {
        (0..wanted).filter(|_| budget.withdraw()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn calls_pay_for_their_share_and_the_reserve_for_the_rest() {
        let budget = RetryBudget::default();
        assert_eq!(granted(&budget, 1_000), 100, "ten a second over ten seconds");
        (0..50).for_each(|_| budget.deposit());
        assert_eq!(granted(&budget, 1_000), 10, "a fifth of fifty calls");
        advance(WINDOW / 2).await;
        assert_eq!(granted(&budget, 1_000), 0, "the window remembers");
        advance(WINDOW).await;
        assert_eq!(granted(&budget, 1_000), 100, "the reserve is back, the calls are not");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_and_nothing_is_no_retry_at_all() {
        let budget = RetryBudget::new(0.0, 0.0, WINDOW).unwrap();
        (0..1_000).for_each(|_| budget.deposit());
        assert!(!budget.withdraw());
        budget.refund();
        assert!(!budget.withdraw());
    }

    #[tokio::test(start_paused = true)]
    async fn answers_give_their_tokens_back_and_no_more_than_those() {
        let budget = RetryBudget::new(0.0, 1.0, WINDOW).unwrap();
        for _ in 0..1_000 {
            assert!(budget.withdraw(), "each retry is answered");
            budget.refund();
        }
        assert_eq!(granted(&budget, 100), 10);
        advance(Duration::from_secs(3)).await;
        (0..1_000).for_each(|_| budget.refund());
        assert_eq!(granted(&budget, 100), 10, "a refund is no deposit");
        advance(2 * WINDOW).await;
        (0..1_000).for_each(|_| budget.refund());
        assert_eq!(granted(&budget, 100), 10);
    }

    #[test]
    fn unusable_numbers_are_refused_by_name() {
        for (share, per_second, window, field) in [
            (-0.1, 1.0, WINDOW, "share"),
            (f64::NAN, 1.0, WINDOW, "share"),
            (0.2, f64::INFINITY, WINDOW, "per_second"),
            (0.2, 1.0, Duration::ZERO, "window"),
        ] {
            let error = RetryBudget::new(share, per_second, window).unwrap_err();
            assert!(error.message().contains(&format!("'{field}'")), "{error}");
        }
    }

    #[test]
    fn threads_together_get_no_more_than_one_would() {
        for _ in 0..20 {
            let budget = RetryBudget::new(0.5, 0.1, Duration::from_secs(1_000)).unwrap();
            let total = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for _ in 0..100 {
                            budget.deposit();
                            total.fetch_add(granted(&budget, 3), Ordering::SeqCst);
                        }
                    });
                }
            });
            let total = total.into_inner() + granted(&budget, 1_000);
            assert_eq!(total, 500, "half of 800 calls and 0.1 a second for 1,000 s");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// With everything failing, whatever the rhythm of calls, retries and pauses.
        #[test]
        fn no_stretch_of_time_has_more_retries_than_it_pays_for(
            share in 0.0..1.0_f64,
            per_second in 0.0..5.0_f64,
            steps in prop::collection::vec((0_u64..4_000, 0_usize..20, 0_usize..20), 1..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            let history = runtime.block_on(async {
                let budget = RetryBudget::new(share, per_second, WINDOW).unwrap();
                let started = Instant::now();
                let mut history = Vec::new();
                let mut calls = 0;
                for (pause, new, wanted) in steps {
                    advance(Duration::from_millis(pause)).await;
                    (0..new).for_each(|_| budget.deposit());
                    calls += new;
                    history.push((started.elapsed(), calls, granted(&budget, wanted)));
                }
                history
            });
            for first in 0..history.len() {
                let mut retries = 0;
                for &(at, calls, granted) in &history[first..] {
                    retries += granted;
                    let seconds = (at - history[first].0 + WINDOW).as_secs_f64();
                    let most = share * calls as f64 + per_second * seconds;
                    prop_assert!(retries as f64 <= most + 1e-3, "{retries} of {most}");
                }
            }
        }
    }
}
