//! Switching log lines on: printed to standard error, or handed to a [`Feed`]; never prompts, never keys.
//!
//! Both may be on at once, behind one `tracing` subscriber that is installed by whichever comes first. It
//! refuses to replace a subscriber that the program has installed already.

mod event;
mod feed;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Filter, Layer, SubscriberExt};

pub use event::{Event, Value};
pub use feed::{Feed, Inbox};

/// The most verbose level that is printed, as [`verbosity`] numbers it.
static PRINTED: AtomicU8 = AtomicU8::new(0);
static PRINTING: AtomicBool = AtomicBool::new(false);
static FEED: OnceLock<Feed> = OnceLock::new();

/// Prints lines of at least `level` to standard error.
///
/// Unknown level words mean `warn`. Returns `false` when lines are printed already, or another subscriber
/// is installed; that one stays.
#[must_use]
pub fn init(level: &str) -> bool {
    if !install() || PRINTING.swap(true, Ordering::AcqRel) {
        return false;
    }
    let level = match level.to_ascii_lowercase().as_str() {
        "trace" => Level::TRACE,
        "debug" => Level::DEBUG,
        "info" => Level::INFO,
        "error" => Level::ERROR,
        _ => Level::WARN,
    };
    PRINTED.store(verbosity(level), Ordering::Release);
    tracing::callsite::rebuild_interest_cache();
    true
}

/// Whether lines of `level` are printed to standard error.
#[must_use]
pub fn prints(level: Level) -> bool {
    verbosity(level) <= PRINTED.load(Ordering::Acquire)
}

/// Hands this crate's events to a listener from now on. `start` is called in each process once there is
/// something to hear, with the events' [`Inbox`]; it must start a thread of its own and return.
///
/// The first listener stays. Returns `false` when there is one, or when another subscriber is installed.
pub fn listen(start: impl Fn(Inbox) + Send + Sync + 'static) -> bool {
    let first = FEED.set(Feed::new(start)).is_ok();
    install() && first
}

/// What [`listen`] began.
#[must_use]
pub fn feed() -> Option<&'static Feed> {
    FEED.get()
}

/// Whether the program's subscriber is the one of this module.
fn install() -> bool {
    static OURS: OnceLock<bool> = OnceLock::new();
    *OURS.get_or_init(|| {
        let lines =
            tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(Printed);
        let subscriber = Registry::default().with(lines).with(Listening.with_filter(Heard));
        tracing::subscriber::set_global_default(subscriber).is_ok()
    })
}

/// 1 for errors to 5 for traces; 0 is nothing at all.
const fn verbosity(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

struct Printed;

impl<S> Filter<S> for Printed {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        prints(*metadata.level())
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if prints(*metadata.level()) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match PRINTED.load(Ordering::Acquire) {
            0 => LevelFilter::OFF,
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }
}

/// What the feed wants to hear: events of this crate, not those of the libraries below it.
struct Heard;

impl<S> Filter<S> for Heard {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        ours(metadata) && feed().is_some_and(|feed| feed.wants(*metadata.level()))
    }

    // The libraries' many places are asked once and cost nothing from then on.
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if ours(metadata) { Interest::sometimes() } else { Interest::never() }
    }
}

fn ours(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target().strip_prefix("graphbit");
    metadata.is_event() && target.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

struct Listening;

impl<S: tracing::Subscriber> Layer<S> for Listening {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if let Some(feed) = feed() {
            feed.offer(event);
        }
    }
}
