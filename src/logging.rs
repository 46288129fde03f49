//! Switching log lines on: to standard error, never prompts, never keys.

use std::io::IsTerminal;

use tracing_subscriber::filter::LevelFilter;

/// Installs a subscriber that prints lines of at least `level` to standard error.
///
/// Unknown level words mean `warn`. Returns `false` when another subscriber is installed already; that
/// one stays.
#[must_use]
pub fn init(level: &str) -> bool {
    let level = match level.to_ascii_lowercase().as_str() {
        "trace" => LevelFilter::TRACE,
        "debug" => LevelFilter::DEBUG,
        "info" => LevelFilter::INFO,
        "error" => LevelFilter::ERROR,
        _ => LevelFilter::WARN,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .try_init()
        .is_ok()
}
