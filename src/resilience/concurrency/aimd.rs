//! Additive increase, multiplicative decrease, for servers that refuse what is too much.
//!
//! # The shape of the problem
//!
//! A server that grants R requests a second and takes L for each carries R·L at once, and refuses the
//! rest within a millisecond. A single slot too many is therefore not one refusal a round trip: it comes
//! back at once, takes the next caller from the line and has it refused as well, hundreds of times a
//! second. And the server's own allowance (a token bucket) hides an excess until it is used up.
//!
//! # What follows
//!
//! - **Down, once a round.** The first refusal opens a round of one usual latency, 100 ms at least.
//!   Refused slots are not handed on during it, so that what stays in flight sinks to what the server
//!   really carries. The limit becomes that number, though at most `backoff` and at least half of what
//!   it was. Refusals of attempts from before the round do not open another.
//! - **Up, along a cubic.** That number is the ceiling. Back to it in about a second, slowly past it,
//!   then faster the longer no refusal comes: twice the ceiling two seconds later. RFC 9438 (CUBIC) has
//!   the curve; here it is relative to the ceiling, because limits range from 1 to thousands. Plain "+1 a
//!   round" needs 50 rounds to follow a doubled R·L of 50, and with L = 20 ms is back at the refusals 20
//!   times a second. Only time in which the limit is in use counts.
//! - **From no limit.** The first round may sink to whatever stays in flight; then, no ceiling being
//!   known, each success adds one, which doubles the limit a round.
//! - **After an outage.** A round before which nothing succeeded since the last one halves the limit and
//!   forgets the ceiling, which belonged to better days.
//! - **Not by noise.** Refusals that come whatever the limit is are told apart; see `noise.rs`.
//! - **Apart.** Calls that were refused together return together, and those admitted together end together:
//!   they would go on arriving in one bunch a latency, and a server's small allowance refuses bunches far
//!   below its rate. So starts from a line are spread over most of a latency, as TCP paces its packets.
//! - **Below one.** Where R·L < 1 a single slot still is too much. The same number then goes on below
//!   1 as a pace: one start every L / number, at most [`LONGEST_REST`] apart. The slot is held during the
//!   rest, so that the line stays in order and needs no timer of its own. Only a line is paced: one caller
//!   alone has the pauses of its own retries, and must not wait longer for the bad news than without us.

use std::time::Duration;

use tokio::time::Instant;

use super::noise::{Count, Noise};
use super::{Decision, Outcome, Sample, real, whole};

/// A round is no shorter: some servers count in windows, and all of the last part of one is refused.
const SHORTEST_ROUND: f64 = 0.1;
/// Seconds that stand for the latency until one is known.
const ASSUMED_LATENCY: f64 = 1.0;
/// The weight of a new latency against the average, as in TCP (RFC 6298).
const LATENCY_WEIGHT: f64 = 0.125;
/// The most a round may take.
const HALF: f64 = 0.5;
/// Seconds between two starts at the slowest pace.
const LONGEST_REST: f64 = 3.0;
/// Seconds, or latencies when those are longer, that measure the curve.
const SHORTEST_UNIT: f64 = 1.0;
/// Of the rests between two starts, so that a pace that is one too fast is not refused every few starts.
const RESTS_IN_UNIT: f64 = 10.0;
/// How much of a latency as many starts as the limit allows are spread over. Less than all of it, so that
/// places do not wait for their time while the server has room.
const SPREAD: f64 = 0.65;
/// What timers can tell apart; a start that is nearer need not wait.
const TICK: Duration = Duration::from_millis(1);
/// Units from the ceiling to its double.
const UNITS_TO_DOUBLE: f64 = 2.0;

#[derive(Debug)]
pub(super) struct Aimd {
    backoff: f64,
    minimum: usize,
    maximum: usize,
    /// The limit as a real number; below the minimum it is a pace.
    width: Option<f64>,
    latency: Option<f64>,
    round: Option<Round>,
    /// Once a limit was refused.
    curve: Option<Curve>,
    /// When use was last added to the curve's time.
    counted: Option<Instant>,
    last_start: Option<Instant>,
    noise: Noise,
}

/// The latest decrease.
#[derive(Clone, Copy, Debug)]
struct Round {
    began: Instant,
    /// The limit it began with; `None` when there was none.
    before: Option<f64>,
    /// In flight when it began.
    crowd: f64,
    /// The fewest that stayed in flight after a refusal.
    lowest: usize,
    /// No attempt succeeded between the round before and this one.
    barren: bool,
    /// An attempt has succeeded since it began.
    fruitful: bool,
    /// What ended during it.
    count: Count,
}

/// The way back up.
#[derive(Clone, Copy, Debug)]
struct Curve {
    floor: f64,
    ceiling: f64,
    /// Seconds in use since the decrease.
    time: f64,
}

impl Curve {
    fn width(&self, unit: f64) -> f64 {
        let span = UNITS_TO_DOUBLE * unit;
        let turning = (1.0 - self.floor / self.ceiling).max(0.0).cbrt();
        self.ceiling * (1.0 + (self.time / span - turning).powi(3))
    }
}

impl Aimd {
    pub(super) fn new(
        backoff: f64,
        initial: Option<usize>,
        minimum: usize,
        maximum: usize,
    ) -> Self {
        Self {
            backoff,
            minimum,
            maximum,
            width: initial.map(real),
            latency: None,
            round: None,
            curve: None,
            counted: None,
            last_start: None,
            noise: Noise::default(),
        }
    }

    pub(super) fn limit(&self) -> Option<usize> {
        self.width.map(|width| whole(width, self.minimum, self.maximum))
    }

    pub(super) fn room(&self, now: Instant) -> Option<usize> {
        let limit = self.limit()?;
        Some(self.current_round(now).map_or(limit, |round| limit.min(round.lowest.max(1))))
    }

    pub(super) fn start(&mut self, now: Instant, crowded: bool) -> Option<Instant> {
        let rest = self.rest()?.max(self.spread());
        let empty = self.current_round(now).filter(|round| round.lowest == 0);
        let next = self.last_start.and_then(|last| last.checked_add(rest));
        let next = next.max(empty.and_then(|round| self.end(&round))).filter(|at| *at > now);
        // A caller that nobody else waits with paces itself by the pauses of its retries, and a server
        // that has refused everything so far is not one whose pace could be found.
        let at = next.filter(|_| crowded && self.latency.is_some());
        let soon = now.checked_add(TICK);
        if at.is_some_and(|at| Some(at) < soon) {
            self.last_start = at;
            return None;
        }
        self.last_start = Some(at.unwrap_or(now));
        at
    }

    pub(super) fn observe(&mut self, sample: &Sample) -> Option<Decision> {
        let refused = sample.outcome == Outcome::Overloaded;
        self.noise.count(sample.now, self.round_length(), refused);
        if let Some(mut round) = self.current_round(sample.now) {
            round.count.add(refused);
            self.round = Some(round);
        }
        match sample.outcome {
            Outcome::Ignored => None,
            Outcome::Success => {
                self.succeeded(sample);
                None
            }
            Outcome::Overloaded => self.refused(sample),
        }
    }

    fn is_pace(&self) -> bool {
        self.width.is_some_and(|width| width < real(self.minimum))
    }

    /// How long the only slot rests between two starts; zero while the limit is no pace, `None` without
    /// a limit.
    fn rest(&self) -> Option<Duration> {
        let width = self.width?;
        if !self.is_pace() {
            return Some(Duration::ZERO);
        }
        let latency = self.latency.unwrap_or(ASSUMED_LATENCY);
        Some(Duration::from_secs_f64((latency / width).clamp(0.0, LONGEST_REST)))
    }

    /// How far apart two starts from the line are, once a server has refused any.
    fn spread(&self) -> Duration {
        let (Some(width), Some(latency), Some(_)) = (self.width, self.latency, self.round) else {
            return Duration::ZERO;
        };
        Duration::try_from_secs_f64(latency / width.max(1.0) * SPREAD).unwrap_or_default()
    }

    fn round_length(&self) -> Duration {
        let seconds = self.latency.unwrap_or(ASSUMED_LATENCY).max(SHORTEST_ROUND);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    fn end(&self, round: &Round) -> Option<Instant> {
        round.began.checked_add(self.round_length())
    }

    fn current_round(&self, now: Instant) -> Option<Round> {
        self.round.filter(|round| self.end(round).is_none_or(|end| now < end))
    }

    fn succeeded(&mut self, sample: &Sample) {
        let took = sample.now.saturating_duration_since(sample.started);
        let latency = self.latency.unwrap_or(took.as_secs_f64());
        self.latency = Some(latency + (took.as_secs_f64() - latency) * LATENCY_WEIGHT);
        let (Some(width), Some(limit)) = (self.width, self.limit()) else { return };
        if let Some(round) = &mut self.round {
            round.fruitful = true;
        }
        let paced = self.rest().unwrap_or_default();
        let since = sample.started.checked_sub(paced).max(self.counted);
        self.counted = Some(sample.now);
        let in_use = sample.in_flight.saturating_add(sample.waiting) >= limit;
        if !in_use || self.current_round(sample.now).is_some() {
            return;
        }
        let unit = latency.max(SHORTEST_UNIT).max(paced.as_secs_f64() * RESTS_IN_UNIT);
        let grown = match &mut self.curve {
            Some(curve) => {
                let used = since.map(|since| sample.now.saturating_duration_since(since));
                curve.time += used.unwrap_or_default().as_secs_f64();
                curve.width(unit)
            }
            None => width + width.min(1.0),
        };
        self.width = Some(grown.clamp(width, real(self.maximum).max(width)));
    }

    fn refused(&mut self, sample: &Sample) -> Option<Decision> {
        let before = self.limit();
        let left = sample.in_flight.saturating_sub(1);
        let current = self.current_round(sample.now);
        let round = match (current, self.round) {
            (Some(round), _) => Round { lowest: round.lowest.min(left), ..round },
            (None, Some(last)) if sample.started < last.began => return None,
            (None, _) if !self.is_pace() && self.noise.tolerates() => return None,
            (None, last) => {
                let barren = last.is_some_and(|last| !last.fruitful);
                let cause = barren || last.is_none_or(|last| last.count.is_too_much());
                if let Some(limit) = self.restore(sample.now, cause) {
                    return Some(Decision::Restored { limit });
                }
                let mut count = Count::new(sample.now);
                count.add(true);
                Round {
                    began: sample.now,
                    before: self.width,
                    crowd: real(sample.in_flight),
                    lowest: left,
                    barren,
                    fruitful: false,
                    count,
                }
            }
        };
        // The first to be refused was one too many; those after it may have been.
        let carried = real(round.lowest) + 1.0;
        let width = match round.before {
            Some(width) if round.barren => width * HALF,
            Some(width) => carried.clamp(width * HALF, width * self.backoff),
            None => real(round.lowest).min(round.crowd * self.backoff).max(real(self.minimum)),
        };
        let width = width.max(self.narrowest());
        self.curve = round.before.filter(|_| !round.barren).map(|before| {
            let ceiling = carried.min(before).max(width);
            Curve { floor: width, ceiling, time: 0.0 }
        });
        self.width = Some(width);
        self.counted = Some(sample.now);
        self.round = Some(round);
        let after = self.limit()?;
        // The rest of the round only completes what its first refusal began.
        current.is_none().then_some(Decision::Lowered { before, after })
    }

    /// The limit as it was before, when the refusals turn out not to come from it.
    fn restore(&mut self, now: Instant, cause: bool) -> Option<usize> {
        let width = self.noise.acquits(now, self.width?, real(self.minimum), cause)?;
        self.width = Some(width);
        self.curve = Some(Curve { floor: width, ceiling: width, time: 0.0 });
        self.counted = Some(now);
        self.round = None;
        self.limit()
    }

    fn narrowest(&self) -> f64 {
        let pace = self.latency.unwrap_or(ASSUMED_LATENCY) / LONGEST_REST;
        pace.clamp(f64::MIN_POSITIVE, real(self.minimum))
    }
}
