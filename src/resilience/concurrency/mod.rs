//! How many calls may be under way at once, found from what the server answers.
//!
//! A [`Concurrency`] hands out a [`Slot`] for each attempt, first come first served, and learns from how
//! the attempt ended. [`Algorithm::Aimd`] learns from refusals (429, 529, timeouts), which is how hosted
//! models say "too much"; [`Algorithm::Gradient2`] from growing latency, which is how a server of one's
//! own says it; [`Algorithm::Fixed`] learns nothing.
//!
//! It refuses to judge errors: the caller says what an [`Outcome`] was. It counts attempts, not tokens,
//! and bounds the calls under way, not those in line: a caller that waits is the caller's own.
//!
//! ```
//! use graphbit::resilience::{Concurrency, ConcurrencySettings, Outcome};
//!
//! let concurrency = Concurrency::new(ConcurrencySettings::default())?;
//! let seen = concurrency.clone();
//! graphbit::runtime::block_on(async move {
//!     let slot = concurrency.acquire().await;
//!     // ... the attempt ...
//!     slot.finish(Outcome::Success);
//!     Ok(())
//! })?;
//! assert_eq!((seen.limit(), seen.in_flight()), (None, 0));
//! # Ok::<(), graphbit::Error>(())
//! ```

mod aimd;
mod gate;
mod gradient;
mod noise;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::time::Instant;

use self::aimd::Aimd;
use self::gate::Gate;
pub use self::gate::Slot;
use self::gradient::Gradient2;
use crate::error::{Error, Result};
use crate::runtime::PerProcess;

/// Where [`Algorithm::Gradient2`] begins without an `initial`; Netflix' concurrency-limits begin there.
const GRADIENT_START: usize = 20;

/// How a limit is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Algorithm {
    /// Down when the server refuses, up while it does not. The default.
    Aimd {
        /// What a mild refusal multiplies the limit by; 0.5 to below 1, default 0.9. A round in which
        /// most was refused lowers it further, to a half at worst.
        backoff: f64,
    },
    /// Down when calls take longer than they used to; for servers whose latency says how busy they are.
    /// The published description is Netflix' concurrency-limits, as are the defaults
    /// ([`Algorithm::GRADIENT2`]).
    Gradient2 {
        /// How many times its usual latency a call may take before the limit falls; at least 1,
        /// default 1.5.
        tolerance: f64,
        /// The weight of a new limit against the old one; above 0 to 1, default 0.2.
        smoothing: f64,
        /// Over how many measurements "usual" is averaged; at least 1, default 600.
        long_window: u32,
        /// By how many calls each measurement without delay raises the limit before smoothing;
        /// default 4.
        queue: u32,
    },
    /// Always [`ConcurrencySettings::initial`].
    Fixed,
}

impl Algorithm {
    /// [`Algorithm::Gradient2`] with its defaults.
    pub const GRADIENT2: Self =
        Self::Gradient2 { tolerance: 1.5, smoothing: 0.2, long_window: 600, queue: 4 };
}

impl Default for Algorithm {
    fn default() -> Self {
        Self::Aimd { backoff: 0.9 }
    }
}

/// The bounds of a limit and how it is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConcurrencySettings {
    /// Default [`Algorithm::Aimd`].
    pub algorithm: Algorithm,
    /// The limit to begin with. `None`, the default, lets AIMD begin without any limit until the first
    /// refusal, and Gradient2 with 20; [`Algorithm::Fixed`] needs a value.
    pub initial: Option<usize>,
    /// The limit never falls below; at least 1, the default.
    pub minimum: usize,
    /// The limit never rises above. The default, 10,000, is more than one process keeps open
    /// connections for, so that it only stops runaway growth.
    pub maximum: usize,
}

impl Default for ConcurrencySettings {
    fn default() -> Self {
        Self { algorithm: Algorithm::default(), initial: None, minimum: 1, maximum: 10_000 }
    }
}

/// How an attempt ended, as far as the number of concurrent calls is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server did the work.
    Success,
    /// There was too much to do: 429, 529, a timeout.
    Overloaded,
    /// Failed for another reason; says nothing about the load.
    Ignored,
}

/// The limiter of one client or endpoint; clones share it. A forked child begins afresh.
#[derive(Clone, Debug)]
pub struct Concurrency(Arc<PerProcess<Gate>>);

/// What a [`Concurrency`] held at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConcurrencySnapshot {
    /// Calls that may be under way; `None` while nothing has set a limit.
    pub limit: Option<usize>,
    /// Calls that have a slot.
    pub in_flight: usize,
    /// Calls in line for one.
    pub waiting: usize,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self::unchecked(ConcurrencySettings::default())
    }
}

impl Concurrency {
    /// A limiter with nobody in it.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] naming the setting that is out of its range.
    pub fn new(settings: ConcurrencySettings) -> Result<Self> {
        settings.check()?;
        Ok(Self::unchecked(settings))
    }

    fn unchecked(settings: ConcurrencySettings) -> Self {
        Self(Arc::new(PerProcess::new(move || Gate::new(Controller::new(&settings)))))
    }

    /// Waits for a slot, first come first served. Dropping the future leaves the line.
    pub async fn acquire(&self) -> Slot {
        let gate = self.0.get();
        loop {
            let granted = match gate.enter() {
                Ok(slot) => Some(slot),
                // In a box: whoever finds a slot at once need not hold the room for waiting.
                Err(place) => Box::pin(place.wait()).await,
            };
            if let Some(slot) = granted {
                return slot.begin().await;
            }
        }
    }

    /// How many calls may be under way; `None` while nothing has set a limit.
    #[must_use]
    pub fn limit(&self) -> Option<usize> {
        self.snapshot().limit
    }

    /// Calls that have a slot.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.snapshot().in_flight
    }

    /// Calls in line.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.snapshot().waiting
    }

    /// All three numbers of one moment.
    #[must_use]
    pub fn snapshot(&self) -> ConcurrencySnapshot {
        self.0.get().snapshot()
    }
}

impl ConcurrencySettings {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] naming the setting that is out of its range.
    pub fn check(&self) -> Result<()> {
        let refuse = |field: &str, value: String, right: &str| {
            Err(Error::validation(field, Some(&value), &format!("{field} must {right}")))
        };
        let (minimum, maximum) = (self.minimum, self.maximum);
        if minimum == 0 {
            return refuse("minimum", minimum.to_string(), "be at least 1");
        }
        if maximum < minimum {
            let right = format!("not be below minimum, which is {minimum}");
            return refuse("maximum", maximum.to_string(), &right);
        }
        if let Some(initial) = self.initial
            && !(minimum..=maximum).contains(&initial)
        {
            let right =
                format!("lie between minimum and maximum, which are {minimum} and {maximum}");
            return refuse("initial", initial.to_string(), &right);
        }
        match self.algorithm {
            Algorithm::Aimd { backoff } if !(0.5..1.0).contains(&backoff) => {
                refuse("backoff", backoff.to_string(), "be at least 0.5 and below 1")
            }
            Algorithm::Gradient2 { tolerance, .. }
                if !(1.0..f64::INFINITY).contains(&tolerance) =>
            {
                refuse("tolerance", tolerance.to_string(), "be a number of at least 1")
            }
            Algorithm::Gradient2 { smoothing, .. } if !(smoothing > 0.0 && smoothing <= 1.0) => {
                refuse("smoothing", smoothing.to_string(), "be above 0 and at most 1")
            }
            Algorithm::Gradient2 { long_window: 0, .. } => {
                refuse("long_window", "0".to_owned(), "be at least 1")
            }
            Algorithm::Fixed if self.initial.is_none() => {
                let text = "initial must be given where the limit is fixed";
                Err(Error::validation("initial", None, text))
            }
            _ => Ok(()),
        }
    }
}

/// A finished attempt as the algorithms see it.
#[derive(Clone, Copy, Debug)]
struct Sample {
    outcome: Outcome,
    started: Instant,
    now: Instant,
    /// Calls under way, this one included.
    in_flight: usize,
    waiting: usize,
}

/// What is worth a line in the log. Written once the gate's lock is free: a log may wait for Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Lowered { before: Option<usize>, after: usize },
    Restored { limit: usize },
}

impl Decision {
    fn log(self) {
        match self {
            Self::Lowered { before, after } => tracing::debug!(
                target: "graphbit::resilience",
                before,
                after,
                "the server refuses: concurrency limit lowered",
            ),
            Self::Restored { limit } => tracing::debug!(
                target: "graphbit::resilience",
                limit,
                "refusals do not depend on concurrency: limit restored",
            ),
        }
    }
}

/// The algorithm of one gate, with what it has learned.
#[derive(Debug)]
enum Controller {
    Fixed(usize),
    Aimd(Aimd),
    Gradient2(Gradient2),
}

impl Controller {
    fn new(settings: &ConcurrencySettings) -> Self {
        let ConcurrencySettings { algorithm, initial, minimum, maximum } = *settings;
        match algorithm {
            Algorithm::Fixed => Self::Fixed(initial.unwrap_or(maximum)),
            Algorithm::Aimd { backoff } => {
                Self::Aimd(Aimd::new(backoff, initial, minimum, maximum))
            }
            Algorithm::Gradient2 { tolerance, smoothing, long_window, queue } => {
                let start = initial.unwrap_or(GRADIENT_START).clamp(minimum, maximum);
                let bounds = (minimum, maximum);
                Self::Gradient2(Gradient2::new(
                    tolerance,
                    smoothing,
                    long_window,
                    queue,
                    start,
                    bounds,
                ))
            }
        }
    }

    fn limit(&self) -> Option<usize> {
        match self {
            Self::Fixed(limit) => Some(*limit),
            Self::Aimd(aimd) => aimd.limit(),
            Self::Gradient2(gradient) => Some(gradient.limit()),
        }
    }

    /// Up to how many may be under way at this moment: at least 1, at most the limit. `None` without a
    /// limit.
    fn room(&self, now: Instant) -> Option<usize> {
        match self {
            Self::Aimd(aimd) => aimd.room(now),
            Self::Fixed(_) | Self::Gradient2(_) => self.limit(),
        }
    }

    /// A call gets a slot: not before when it may use it.
    fn start(&mut self, now: Instant, crowded: bool) -> Option<Instant> {
        match self {
            Self::Aimd(aimd) => aimd.start(now, crowded),
            Self::Fixed(_) | Self::Gradient2(_) => None,
        }
    }

    fn observe(&mut self, sample: &Sample) -> Option<Decision> {
        match self {
            Self::Fixed(_) => None,
            Self::Aimd(aimd) => aimd.observe(sample),
            Self::Gradient2(gradient) => gradient.observe(sample),
        }
    }
}

/// The nearest whole limit within the bounds.
#[expect(clippy::cast_possible_truncation, reason = "clamped to a limit's bounds before")]
fn whole(width: f64, minimum: usize, maximum: usize) -> usize {
    (width.round().clamp(0.0, 1e9) as usize).clamp(minimum, maximum)
}

fn real(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
