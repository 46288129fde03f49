//! What stands between a call and a provider's weather: generic over an attempt, naming no provider.
//!
//! It refuses to judge errors itself: whether to try again is the error's own [`crate::Advice`], and
//! whether a server is to blame is its [`crate::Kind`]. Every decision (a retry, an opened breaker, a wait,
//! a move to the next provider) is an event of [`tracing`] with the target `graphbit::resilience`.
//!
//! # The order of layers
//!
//! Outermost first:
//!
//! cache → failover → total deadline → retry → breaker → rate limit → concurrency permit → attempt
//! timeout → transport
//!
//! The limits lie inside retry, so that a pause between attempts holds no place in any of them. The breaker
//! is asked before each attempt and told once a call, since a call that a retry saved is no failure.
//! [`Stack`] is this order from the deadline to the permit, with hedging around the limits;
//! [`Routes`] and [`crate::cache`] are put around it by the clients, and the attempt's own time limit is
//! the transport's.
//!
//! ```
//! use graphbit::resilience::{Protection, Stack};
//! use graphbit::types::ChatResponse;
//! use graphbit::{Error, Kind};
//! use std::sync::atomic::{AtomicU32, Ordering};
//!
//! let stack = Stack::new("openai/gpt-4o-mini", Protection::default());
//! let attempts = AtomicU32::new(0);
//! let answer = graphbit::runtime::block_on(async move {
//!     let attempt = || {
//!         let answer = match attempts.fetch_add(1, Ordering::Relaxed) {
//!             0 => Err(Error::new(Kind::Server, "try again")),
//!             _ => Ok(ChatResponse { content: "hello".to_owned(), ..ChatResponse::default() }),
//!         };
//!         async move { answer }
//!     };
//!     stack.call(|_| 0, attempt).await
//! })?;
//! assert_eq!(answer.content, "hello");
//! # Ok::<(), graphbit::Error>(())
//! ```

mod breaker;
mod budget;
mod concurrency;
mod failover;
mod hedge;
mod rate;
mod retry;
mod routes;
mod stack;
mod stats;
mod window;

pub use breaker::{Breaker, BreakerPolicy, BreakerState, Permit};
pub use budget::RetryBudget;
pub use concurrency::{
    Algorithm, Concurrency, ConcurrencySettings, ConcurrencySnapshot, Outcome, Slot,
};
pub use failover::Order;
pub use hedge::{Hedge, HedgeSettings};
pub use rate::{RateLimit, RateSettings, RateSnapshot, RedisSettings, Reservation, Tally};
pub use retry::{OnRetry, RetryEvent, RetryPolicy};
pub use routes::{Route, Routes};
pub use stack::{Answer, Lease, Protection, Stack, StackSnapshot};
pub use stats::{CallStats, StatsSnapshot};

use crate::error::{Error, Result};

/// The target of the layers' log events.
const LOG: &str = "graphbit::resilience";

/// Refuses what is no share of something.
fn share(field: &str, value: f64, zero: bool) -> Result<()> {
    let least = if zero { "at least 0" } else { "above 0" };
    if value <= 1.0 && (value > 0.0 || zero && value == 0.0) {
        return Ok(());
    }
    let text = format!("{field} must be {least} and at most 1");
    Err(Error::validation(field, Some(&value.to_string()), &text))
}
