//! The settings of `graphbit.resilience` as the core takes them.
//!
//! The objects are ordinary Python (frozen dataclasses), so that they print, compare and pickle by
//! themselves. Each is checked here when it is made, and keeps what the core made of it: one that limits or
//! remembers is shared by all clients it is given to.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::report::describe_cache;
use crate::cache::{Cache, CacheSettings};
use crate::error::Error;
use crate::python::json::class_of;
use crate::python::{bridge, exit};
use crate::resilience::{
    Algorithm, BreakerPolicy, Concurrency, ConcurrencySettings, HedgeSettings, OnRetry, RateLimit,
    RateSettings, RedisSettings, RetryPolicy,
};
use crate::secret::ApiKey;

/// Retries that a slow `on_retry` may be behind; further ones are not told.
const UNTOLD: usize = 64;

/// What the core made of a settings object.
#[pyclass(name = "PreparedSettings", module = "graphbit._graphbit", frozen)]
pub(in super::super) struct PreparedSettings(Core);

pub(super) enum Core {
    Retry(RetryPolicy),
    Breaker(BreakerPolicy),
    Rate(RateLimit),
    Concurrency(Concurrency),
    Hedging(HedgeSettings),
    Cache(Cache),
}

#[pymethods]
impl PreparedSettings {
    /// What it limits or remembers now; empty for settings that do neither.
    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        match &self.0 {
            Core::Rate(rate) => {
                let now = rate.snapshot();
                dict.set_item("requests_per_minute", now.requests_per_minute)?;
                dict.set_item("tokens_per_minute", now.tokens_per_minute)?;
                dict.set_item("requests_available", now.requests_available)?;
                dict.set_item("tokens_available", now.tokens_available)?;
                dict.set_item("waiting", now.waiting)?;
                dict.set_item("waited_seconds", now.waited_seconds_total)?;
            }
            Core::Concurrency(concurrency) => {
                dict.set_item("limit", concurrency.limit())?;
                dict.set_item("in_flight", concurrency.in_flight())?;
                dict.set_item("waiting", concurrency.waiting())?;
            }
            Core::Cache(cache) => describe_cache(cache, &dict)?,
            Core::Retry(_) | Core::Breaker(_) | Core::Hedging(_) => {}
        }
        Ok(dict)
    }

    /// Forgets the entries of a cache.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        let Core::Cache(cache) = &self.0 else { return Ok(()) };
        let cache = cache.clone();
        bridge::block_on(py, async move {
            cache.clear().await;
            Ok(())
        })
    }
}

/// Checks a settings object; `kind` is what its class calls itself.
#[pyfunction]
pub(in super::super) fn prepare_settings(
    settings: &Bound<'_, PyAny>,
    kind: &str,
) -> PyResult<PreparedSettings> {
    let given = Given(settings);
    let read = || -> PyResult<Core> {
        Ok(match kind {
            "retry" => Core::Retry(given.retry()?),
            "circuit_breaker" => Core::Breaker(given.breaker()?),
            "rate_limit" => Core::Rate(RateLimit::new(given.rate()?)?),
            "concurrency" => Core::Concurrency(Concurrency::new(given.concurrency()?)?),
            "hedging" => Core::Hedging(given.hedging()?),
            _ => Core::Cache(Cache::new(given.cache()?)?),
        })
    };
    exit::inside(settings.py(), read).map(PreparedSettings)
}

/// The fields of a settings object.
struct Given<'a, 'py>(&'a Bound<'py, PyAny>);

impl Given<'_, '_> {
    fn optional<T>(
        &self,
        field: &'static str,
        read: impl FnOnce(&Self, &'static str) -> PyResult<T>,
    ) -> PyResult<Option<T>> {
        if self.0.getattr(field)?.is_none() { Ok(None) } else { read(self, field).map(Some) }
    }

    fn wrong(&self, field: &str, right: &str) -> PyErr {
        match self.0.getattr(field) {
            Ok(value) => {
                PyTypeError::new_err(format!("{field} must be {right}, not '{}'", class_of(&value)))
            }
            Err(error) => error,
        }
    }

    fn refused<T>(&self, field: &str, right: &str) -> PyResult<T> {
        let value = self.0.getattr(field)?.str()?;
        let text = format!("{field} must {right}");
        Err(Error::validation(field, Some(&value.to_string_lossy()), &text).into())
    }

    fn number(&self, field: &'static str) -> PyResult<f64> {
        self.0.getattr(field)?.extract().map_err(|_| self.wrong(field, "a number"))
    }

    fn seconds(&self, field: &'static str) -> PyResult<Duration> {
        let number = self.number(field)?;
        match Duration::try_from_secs_f64(number) {
            Ok(seconds) => Ok(seconds),
            // Longer than can be counted is for ever.
            Err(_) if number.is_finite() && number > 0.0 => Ok(Duration::MAX),
            Err(_) => self.refused(field, "be a finite number of seconds, at least 0"),
        }
    }

    fn positive_seconds(&self, field: &'static str) -> PyResult<Duration> {
        match self.seconds(field)? {
            Duration::ZERO => self.refused(field, "be above 0 seconds"),
            seconds => Ok(seconds),
        }
    }

    /// A whole number from 1 to `most`.
    fn count<T>(&self, field: &'static str, most: T) -> PyResult<T>
    where
        T: TryFrom<u64> + PartialOrd + Display + Copy,
    {
        let value = self.0.getattr(field)?;
        let number = match value.extract::<u64>() {
            Ok(number) => T::try_from(number).ok().filter(|fits| number > 0 && *fits <= most),
            // Below 0, or longer than 64 bits.
            Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => None,
            Err(_) => return Err(self.wrong(field, "an int")),
        };
        match number {
            Some(number) => Ok(number),
            None => self.refused(field, &format!("be a whole number from 1 to {most}")),
        }
    }

    fn flag(&self, field: &'static str) -> PyResult<bool> {
        self.0.getattr(field)?.extract().map_err(|_| self.wrong(field, "True or False"))
    }

    fn word(&self, field: &'static str) -> PyResult<String> {
        self.0.getattr(field)?.extract().map_err(|_| self.wrong(field, "a str"))
    }

    fn retry(&self) -> PyResult<RetryPolicy> {
        let policy = RetryPolicy {
            attempts: self.count("attempts", u32::MAX)?,
            base: self.seconds("base_delay")?,
            cap: self.seconds("max_delay")?,
            jitter: self.flag("jitter")?,
            deadline: self.optional("deadline", Self::positive_seconds)?,
            longest_wait: self.seconds("max_retry_after")?,
            budget: self.number("budget")?,
            budget_per_second: self.number("budget_per_second")?,
            on_retry: self.optional("on_retry", Self::told)?,
        };
        policy.check()?;
        Ok(policy)
    }

    fn told(&self, field: &'static str) -> PyResult<OnRetry> {
        let function = self.0.getattr(field)?;
        if !function.is_callable() {
            return Err(self.wrong(field, "callable"));
        }
        let (function, behind) = (Arc::new(function.unbind()), Arc::new(AtomicUsize::new(0)));
        Ok(Arc::new(move |event| {
            let (attempt, pause) = (event.attempt, event.pause.as_secs_f64());
            let kind = event.error.kind().as_str();
            if behind.fetch_add(1, Ordering::AcqRel) >= UNTOLD {
                behind.fetch_sub(1, Ordering::AcqRel);
                return;
            }
            let (function, behind) = (Arc::clone(&function), Arc::clone(&behind));
            // Begun by the call; nobody waits for its end.
            drop(bridge::call_python(move |py| {
                let result = function.call1(py, (attempt, pause, kind));
                behind.fetch_sub(1, Ordering::AcqRel);
                result.map(drop)
            }));
        }))
    }

    fn breaker(&self) -> PyResult<BreakerPolicy> {
        let policy = BreakerPolicy {
            failure_rate: self.number("failure_rate")?,
            slow_rate: self.number("slow_rate")?,
            slow: self.optional("slow_seconds", Self::positive_seconds)?,
            window: self.count("window", BreakerPolicy::WIDEST_WINDOW)?,
            minimum_calls: self.count("minimum_calls", BreakerPolicy::WIDEST_WINDOW)?,
            open_for: self.positive_seconds("open_seconds")?,
            probes: self.count("probes", u16::MAX)?,
        };
        policy.check()?;
        Ok(policy)
    }

    fn rate(&self) -> PyResult<RateSettings> {
        let name = self.word("name")?;
        let url = self.optional("redis", Self::word)?;
        let burst = self.seconds("burst_seconds")?;
        let most = RateSettings::LONGEST_BURST;
        if burst > most {
            let right = format!("be a number of seconds from 0 to {}", most.as_secs());
            return self.refused("burst_seconds", &right);
        }
        Ok(RateSettings {
            requests_per_minute: self.optional("requests_per_minute", Self::number)?,
            tokens_per_minute: self.optional("tokens_per_minute", Self::number)?,
            burst,
            from_headers: self.flag("from_headers")?,
            redis: url.map(|url| RedisSettings { url: ApiKey::new(url), name }),
        })
    }

    fn concurrency(&self) -> PyResult<ConcurrencySettings> {
        // Checked whether it is used or not: who gives one should learn that it is none.
        let aimd = Algorithm::Aimd { backoff: self.number("backoff")? };
        ConcurrencySettings { algorithm: aimd, ..ConcurrencySettings::default() }.check()?;
        Ok(ConcurrencySettings {
            algorithm: match self.word("algorithm")?.as_str() {
                "aimd" => aimd,
                "gradient2" => Algorithm::GRADIENT2,
                "fixed" => Algorithm::Fixed,
                _ => return self.refused("algorithm", "be 'aimd', 'gradient2' or 'fixed'"),
            },
            initial: self.optional("initial", |given, field| given.count(field, usize::MAX))?,
            minimum: self.count("minimum", usize::MAX)?,
            maximum: self.count("maximum", usize::MAX)?,
        })
    }

    fn hedging(&self) -> PyResult<HedgeSettings> {
        let settings = HedgeSettings {
            after: self.optional("after", Self::positive_seconds)?,
            percentile: self.number("percentile")?,
            minimum: self.seconds("minimum")?,
            budget: self.number("budget")?,
        };
        settings.check()?;
        Ok(settings)
    }

    fn cache(&self) -> PyResult<CacheSettings> {
        let path = |given: &Self, field| -> PyResult<PathBuf> {
            given
                .0
                .getattr(field)?
                .extract()
                .map_err(|_| given.wrong(field, "a str or os.PathLike"))
        };
        Ok(CacheSettings {
            max_bytes: self.count("max_bytes", usize::MAX)?,
            ttl: self.optional("ttl", Self::positive_seconds)?,
            path: self.optional("path", path)?,
            completions: self.word("completions")?.parse()?,
        })
    }
}

/// What the core made of a keyword's settings; `None` where none was given. `right` is what it takes.
pub(super) fn prepared<T>(
    given: Option<&Bound<'_, PyAny>>,
    argument: &str,
    right: &str,
    read: impl FnOnce(&Core) -> Option<T>,
) -> PyResult<Option<T>> {
    let Some(given) = given else { return Ok(None) };
    let found = exit::inside(given.py(), || given.getattr("_core")).ok();
    let found = found.as_ref().and_then(|found| found.cast::<PreparedSettings>().ok());
    match found.and_then(|found| read(&found.get().0)) {
        Some(core) => Ok(Some(core)),
        None => Err(PyTypeError::new_err(format!(
            "argument '{argument}': must be {right}, not '{}'",
            class_of(given)
        ))),
    }
}
