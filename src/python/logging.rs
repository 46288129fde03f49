//! Log lines of the core as records of Python's `logging`.
//!
//! An event of `graphbit::resilience` becomes a record of the logger `graphbit.resilience`, its facts in the
//! text and, by name, in `record.graphbit`. One daemon thread carries them, so that no worker and no caller
//! ever waits for the interpreter or for a handler; what it is to carry follows from the loggers' levels.
//!
//! No handler is installed, not even the `NullHandler` that silences a library until it is configured: the
//! core warns only of what somebody should know (an open breaker, a cache that had to be set aside), and as
//! with `asyncio` of the standard library, a warning nobody arranged for goes to standard error. It refuses
//! to import `logging` for less than a warning: a program that has not imported it listens to nothing.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use tracing::Level;

use super::exit;
use crate::logging::{self, Event, Feed, Inbox, Value};

/// Bounds how long one batch keeps other threads from the interpreter where handlers never wait.
const BATCH: usize = 256;
/// How long an exit waits for records under way; a handler that is slower loses the rest.
const PATIENCE: Duration = Duration::from_secs(1);
/// What Python calls the levels; it has none for traces.
const LEVELS: [(i64, Level); 5] = [
    (5, Level::TRACE),
    (10, Level::DEBUG),
    (20, Level::INFO),
    (30, Level::WARN),
    (40, Level::ERROR),
];

/// Begins to listen to the core. The thread starts with the first event that may be wanted.
pub(super) fn register() {
    logging::listen(|inbox| {
        // Without a thread there are no records; the calls go on.
        std::thread::Builder::new()
            .name("graphbit-logging".to_owned())
            .spawn(move || carry(&inbox))
            .ok();
    });
}

/// The program may have configured its loggers just now: the next event finds out.
pub(super) fn doubt() {
    if let Some(feed) = logging::feed() {
        feed.doubt();
    }
}

/// Gives records under way a moment to be handled. For the end of the process.
pub(super) fn settle() {
    if let Some(feed) = logging::feed() {
        feed.settle(PATIENCE);
    }
}

fn carry(inbox: &Inbox) {
    let mut voice = Voice::default();
    while let Some(batch) = inbox.take(BATCH) {
        let told = exit::attach(|py| {
            for event in batch {
                voice.try_tell(py, &event);
                inbox.done();
            }
            let dropped = inbox.dropped();
            if dropped > 0 {
                voice.try_tell(py, &dropped_event(dropped));
            }
        });
        if told.is_none() {
            return;
        }
    }
}

fn dropped_event(count: u64) -> Event {
    Event {
        level: Level::WARN,
        target: "graphbit::logging",
        file: None,
        line: None,
        at: SystemTime::now(),
        message: "log records were dropped: the handlers are too slow".to_owned(),
        fields: vec![("count", Value::Integer(count.into()))],
    }
}

/// The loggers met so far, by their targets: as many as the core has modules that speak.
#[derive(Default)]
struct Voice {
    loggers: HashMap<&'static str, Py<PyAny>>,
    named: bool,
}

impl Voice {
    /// An exception out of a handler or a filter is nobody's here: it goes where Python reports such.
    fn try_tell(&mut self, py: Python<'_>, event: &Event) {
        if exit::closed() {
            return;
        }
        if let Err(error) = self.tell(py, event) {
            error.write_unraisable(py, None);
        }
    }

    fn tell(&mut self, py: Python<'_>, event: &Event) -> PyResult<()> {
        let Some(logging) = module(py, event.level)? else {
            if let Some(feed) = logging::feed() {
                feed.want(Some(Level::WARN));
            }
            return Ok(());
        };
        if let Some(feed) = logging::feed().filter(|feed| feed.is_doubtful()) {
            ask(feed, &logging)?;
        }
        let number = number(event.level);
        let logger = match self.loggers.get(event.target) {
            Some(logger) => logger.bind(py).clone(),
            None => {
                let name = event.target.replace("::", ".");
                let logger = logging.call_method1(intern!(py, "getLogger"), (name,))?;
                self.loggers.insert(event.target, logger.clone().unbind());
                logger
            }
        };
        if !logger.call_method1(intern!(py, "isEnabledFor"), (number,))?.is_truthy()? {
            return Ok(());
        }
        // Without any handler Python prints a warning to standard error, where it stands already.
        if logging::prints(event.level)
            && !logger.call_method0(intern!(py, "hasHandlers"))?.is_truthy()?
        {
            return Ok(());
        }
        if !std::mem::replace(&mut self.named, true) {
            // Or each record would come from a thread of the name `Dummy-1`.
            let thread = py.import("threading")?.call_method0("current_thread")?;
            thread.setattr("name", "graphbit-logging")?;
        }
        let record = record(&logger, number, event)?;
        logger.call_method1(intern!(py, "handle"), (record,)).map(drop)
    }
}

/// Python's module. `None` where the program has not imported it and `level` is no reason to.
fn module(py: Python<'_>, level: Level) -> PyResult<Option<Bound<'_, PyModule>>> {
    let loaded = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    let reason = level <= Level::WARN || loaded.contains(intern!(py, "logging"))?;
    reason.then(|| py.import(intern!(py, "logging"))).transpose()
}

/// Tells the feed the most verbose level that any of our loggers lets through.
fn ask(feed: &Feed, logging: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = logging.py();
    let root = logging.call_method1(intern!(py, "getLogger"), ("graphbit",))?;
    let mut least: i64 = root.call_method0(intern!(py, "getEffectiveLevel"))?.extract()?;
    let manager = root.getattr(intern!(py, "manager"))?;
    // A copy, for other threads may make loggers meanwhile.
    let known = manager.getattr(intern!(py, "loggerDict"))?.call_method0(intern!(py, "copy"))?;
    for (name, logger) in known.cast::<PyDict>()?.iter() {
        // Not a logger yet, but a place in the tree: it has no level.
        let Some(level) = logger.getattr_opt(intern!(py, "level"))? else { continue };
        let level: i64 = level.extract()?;
        if level > 0 && name.extract::<&str>().is_ok_and(|name| name.starts_with("graphbit.")) {
            least = least.min(level);
        }
    }
    let disabled: i64 = manager.getattr(intern!(py, "disable"))?.extract()?;
    least = least.max(disabled.saturating_add(1));
    feed.want(LEVELS.into_iter().find(|(number, _)| *number >= least).map(|(_, level)| level));
    Ok(())
}

fn number(level: Level) -> i64 {
    LEVELS.into_iter().find(|(_, known)| *known == level).map_or(0, |(number, _)| number)
}

/// A record as the logger itself makes it, at the time of the event.
fn record<'py>(
    logger: &Bound<'py, PyAny>,
    number: i64,
    event: &Event,
) -> PyResult<Bound<'py, PyAny>> {
    let py = logger.py();
    let facts = PyDict::new(py);
    for (name, value) in &event.fields {
        match value {
            Value::Bool(value) => facts.set_item(name, value)?,
            Value::Integer(value) => facts.set_item(name, value)?,
            Value::Float(value) => facts.set_item(name, value)?,
            Value::Text(value) => facts.set_item(name, value)?,
        }
    }
    let extra = PyDict::new(py);
    extra.set_item(intern!(py, "graphbit"), facts)?;
    let arguments = (
        logger.getattr(intern!(py, "name"))?,
        number,
        event.file.unwrap_or("(unknown file)"),
        event.line.unwrap_or(0),
        event.text(),
        PyTuple::empty(py),
        py.None(),
        py.None(),
        extra,
    );
    let record = logger.call_method1(intern!(py, "makeRecord"), arguments)?;
    let since = event.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let created = intern!(py, "created");
    let relative = intern!(py, "relativeCreated");
    let late: f64 = record.getattr(created)?.extract::<f64>()? - since.as_secs_f64();
    let relative_then = record.getattr(relative)?.extract::<f64>()? - late * 1000.0;
    record.setattr(created, since.as_secs_f64())?;
    record.setattr(intern!(py, "msecs"), f64::from(since.subsec_millis()))?;
    record.setattr(relative, relative_then)?;
    Ok(record)
}
