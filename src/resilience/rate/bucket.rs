//! One token bucket: filled continuously, and allowed into debt.
//!
//! A request passes when the bucket holds what it costs; one that costs more than the bucket can ever hold
//! passes when it is full, and the rest is paid off before the next. So in any time `t` no more than
//! `rate * t` and one capacity is let through, beside what a single oversized request overdraws.

use std::time::Duration;

use tokio::time::Instant;

use crate::http::LONGEST_WAIT;

/// What providers' limits are counted by.
const MINUTE: f64 = 60.0;
/// Added to each wait, so that rounding cannot wake a caller a hair too early.
const MARGIN: Duration = Duration::from_micros(1);

/// What a bucket is made of, for one that is kept elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Terms {
    /// Units a second; 0 without a limit.
    pub(super) rate: f64,
    /// The most it holds.
    pub(super) capacity: f64,
}

/// A limit on requests or on tokens.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Units a second; `None` while there is no limit.
    rate: Option<f64>,
    /// Set by the user; a provider's word does not change it.
    fixed: bool,
    /// Seconds of the rate that it holds.
    burst: f64,
    /// Below zero: a debt.
    level: f64,
    /// When the level was right.
    at: Instant,
    /// The provider has nothing left until then.
    closed_until: Option<Instant>,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(per_minute: Option<f64>, burst: Duration) -> Self {
        let mut bucket = Self {
            rate: per_minute.map(|number| number / MINUTE),
            fixed: per_minute.is_some(),
            burst: burst.as_secs_f64(),
            level: 0.0,
            at: Instant::now(),
            closed_until: None,
        };
        bucket.level = bucket.terms().capacity;
        bucket
    }

    pub(super) fn is_limited(&self) -> bool {
        self.rate.is_some()
    }

    pub(super) fn per_minute(&self) -> Option<f64> {
        self.rate.map(|rate| rate * MINUTE)
    }

    pub(super) fn terms(&self) -> Terms {
        // One at least, or nothing would ever pass.
        self.rate.map_or_else(Terms::default, |rate| Terms {
            rate,
            capacity: (rate * self.burst).max(1.0),
        })
    }

    /// What can be spent at once.
    pub(super) fn available(&mut self, now: Instant) -> Option<f64> {
        self.refill(now);
        if self.closed_until.is_some_and(|until| until > now) {
            return Some(0.0);
        }
        self.rate.map(|_| self.level.max(0.0))
    }

    fn refill(&mut self, now: Instant) {
        let Terms { rate, capacity } = self.terms();
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * rate).min(capacity);
        self.at = now;
    }

    /// How long until `cost` can be taken; zero when it can be now.
    pub(super) fn wait(&mut self, cost: f64, now: Instant) -> Duration {
        self.refill(now);
        let closed =
            self.closed_until.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let Terms { rate, capacity } = self.terms();
        let short = cost.min(capacity) - self.level;
        if rate <= 0.0 || short <= 0.0 {
            return closed;
        }
        let filling = Duration::try_from_secs_f64(short / rate).unwrap_or(Duration::MAX);
        closed.max(filling.saturating_add(MARGIN))
    }

    /// Takes `cost`, into debt if need be.
    pub(super) fn take(&mut self, cost: f64) {
        if self.is_limited() {
            self.level -= cost;
        }
    }

    /// Puts back what was taken and not used; a negative amount takes more.
    pub(super) fn give(&mut self, amount: f64) {
        self.take(-amount);
        self.level = self.level.min(self.terms().capacity);
    }

    /// Hears what the provider says. Its limit counts where the user has set none; what it has left can
    /// only lower what there is here.
    pub(super) fn hear(
        &mut self,
        limit: Option<u64>,
        remaining: Option<u64>,
        reset: Option<Duration>,
        now: Instant,
    ) {
        self.refill(now);
        if let Some(limit) = limit.filter(|&limit| limit > 0 && !self.fixed) {
            let first = self.rate.replace(number(limit) / MINUTE).is_none();
            let capacity = self.terms().capacity;
            self.level = if first { capacity } else { self.level.min(capacity) };
        }
        if let Some(left) = remaining.filter(|_| self.is_limited()) {
            self.level = self.level.min(number(left));
        }
        if let (Some(0), Some(reset)) = (remaining, reset)
            && !(limit.is_some() && is_a_whole_minute(reset))
        {
            let until = now.checked_add(reset.min(LONGEST_WAIT));
            self.closed_until = self.closed_until.max(until);
        }
    }
}

/// An empty bucket that fills continuously is full after a minute, and has something again long
/// before. OpenAI and Anthropic report such a reset; to wait it out would halve the throughput at the
/// limit. A window of fixed bounds has, except at its very beginning, less left to go.
fn is_a_whole_minute(reset: Duration) -> bool {
    (54..=66).contains(&reset.as_secs())
}

#[expect(clippy::cast_precision_loss, reason = "no limit comes near 2^53")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}
