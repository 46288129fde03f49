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
use pyo3::types::{PyBool, PyDict, PyList};

use super::bridge;
use super::json::class_of;
use crate::cache::{Cache, CacheSettings};
use crate::error::{Error, Result};
use crate::resilience::{
    Algorithm, BreakerPolicy, Concurrency, ConcurrencySettings, HedgeSettings, OnRetry, Order,
    Protection, RateLimit, RateSettings, RedisSettings, RetryPolicy, Stack,
};
use crate::secret::ApiKey;

/// Retries that a slow `on_retry` may be behind; further ones are not told.
const UNTOLD: usize = 64;

/// What the core made of a settings object.
#[pyclass(name = "PreparedSettings", module = "graphbit._graphbit", frozen)]
pub(super) struct PreparedSettings(Core);

enum Core {
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
pub(super) fn prepare_settings(
    settings: &Bound<'_, PyAny>,
    kind: &str,
) -> PyResult<PreparedSettings> {
    let given = Given(settings);
    Ok(PreparedSettings(match kind {
        "retry" => Core::Retry(given.retry()?),
        "circuit_breaker" => Core::Breaker(given.breaker()?),
        "rate_limit" => Core::Rate(RateLimit::new(given.rate()?)?),
        "concurrency" => Core::Concurrency(Concurrency::new(given.concurrency()?)?),
        "hedging" => Core::Hedging(given.hedging()?),
        _ => Core::Cache(Cache::new(given.cache()?)?),
    }))
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

/// The keywords of a client, as Python gave them.
pub(super) struct Keywords<'a, 'py> {
    pub(super) retry: Option<&'a Bound<'py, PyAny>>,
    pub(super) circuit_breaker: Option<&'a Bound<'py, PyAny>>,
    pub(super) rate_limit: Option<&'a Bound<'py, PyAny>>,
    pub(super) concurrency: Option<&'a Bound<'py, PyAny>>,
    pub(super) hedging: Option<&'a Bound<'py, PyAny>>,
    pub(super) cache: Option<&'a Bound<'py, PyAny>>,
    pub(super) fallbacks: Option<&'a Bound<'py, PyAny>>,
    pub(super) order: &'a str,
    pub(super) weights: Option<Vec<f64>>,
}

impl<'py> Keywords<'_, 'py> {
    /// The layers that they ask for; `breaker` is the client's usual one. Limits are those of the `first`
    /// model: what another server can carry is another number.
    pub(super) fn protection(
        &self,
        breaker: Option<BreakerPolicy>,
        first: bool,
    ) -> PyResult<Protection> {
        let usual = Protection { breaker, ..Protection::default() };
        let retry = core(self.retry, "retry", "RetryPolicy", |core| match core {
            Core::Retry(policy) => Some(policy.clone()),
            _ => None,
        })?;
        let breaker = unless_false(self.circuit_breaker, usual.breaker, |given| {
            core(given, "circuit_breaker", "CircuitBreaker or False", |core| match core {
                Core::Breaker(policy) => Some(*policy),
                _ => None,
            })
        })?;
        let concurrency = unless_false(self.concurrency, usual.concurrency.clone(), |given| {
            core(given, "concurrency", "AdaptiveConcurrency or False", |core| match core {
                Core::Concurrency(concurrency) => Some(concurrency.clone()),
                _ => None,
            })
        })?;
        let rate = core(self.rate_limit, "rate_limit", "RateLimit", |core| match core {
            Core::Rate(rate) => Some(rate.clone()),
            _ => None,
        })?;
        let hedge = core(self.hedging, "hedging", "Hedging", |core| match core {
            Core::Hedging(settings) => Some(*settings),
            _ => None,
        })?;
        let (rate, concurrency) = match first {
            true => (rate, concurrency),
            false => (None, concurrency.and(usual.concurrency)),
        };
        Ok(Protection { retry: retry.unwrap_or(usual.retry), breaker, rate, concurrency, hedge })
    }

    /// The cache.
    pub(super) fn cache(&self) -> PyResult<Option<Cache>> {
        core(self.cache, "cache", "Cache", |core| match core {
            Core::Cache(cache) => Some(cache.clone()),
            _ => None,
        })
    }

    /// What a pickle of the client holds of them: those that were given.
    pub(super) fn pickled(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, value) in [
            ("retry", self.retry),
            ("circuit_breaker", self.circuit_breaker),
            ("rate_limit", self.rate_limit),
            ("concurrency", self.concurrency),
            ("hedging", self.hedging),
            ("cache", self.cache),
            ("fallbacks", self.fallbacks),
        ] {
            if let Some(value) = value {
                dict.set_item(name, value)?;
            }
        }
        if self.order != "ordered" {
            dict.set_item("order", self.order)?;
        }
        if let Some(weights) = &self.weights {
            dict.set_item("weights", weights)?;
        }
        Ok(dict)
    }

    /// Every model to ask, `config` itself or what is in it first.
    pub(super) fn models(&self, config: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let mut models = listed(config)?;
        if let Some(fallbacks) = self.fallbacks {
            models.extend(listed(fallbacks)?);
        }
        if models.is_empty() {
            let text = "config must name at least one model";
            return Err(Error::validation("config", Some("[]"), text).into());
        }
        Ok(models)
    }

    /// How to choose among them; `None` for the cheapest first.
    pub(super) fn order(&self) -> PyResult<Option<Order>> {
        match (self.order, &self.weights) {
            ("weighted", Some(weights)) => Ok(Some(Order::Weighted(weights.clone()))),
            ("weighted", None) => {
                let text = "order='weighted' needs weights=, one for each model";
                Err(Error::validation("weights", None, text).into())
            }
            (_, Some(_)) => {
                let text = "weights= goes with order='weighted'";
                Err(Error::validation("order", Some(self.order), text).into())
            }
            ("ordered", None) => Ok(Some(Order::Listed)),
            ("cheapest", None) => Ok(None),
            (other, None) => {
                let text = "order must be 'ordered', 'weighted' or 'cheapest'";
                Err(Error::validation("order", Some(other), text).into())
            }
        }
    }
}

fn listed<'py>(given: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    match given.cast::<PyList>() {
        Ok(list) => Ok(list.iter().collect()),
        Err(_) if given.is_instance_of::<pyo3::types::PyTuple>() => given.extract(),
        Err(_) => Ok(vec![given.clone()]),
    }
}

/// `usual` for `None`, nothing for `False`, else what `read` makes of it.
fn unless_false<'a, 'py, T>(
    given: Option<&'a Bound<'py, PyAny>>,
    usual: Option<T>,
    read: impl FnOnce(Option<&'a Bound<'py, PyAny>>) -> PyResult<Option<T>>,
) -> PyResult<Option<T>> {
    match given {
        None => Ok(usual),
        Some(given) if given.cast::<PyBool>().is_ok_and(|flag| !flag.is_true()) => Ok(None),
        given => read(given),
    }
}

fn core<T>(
    given: Option<&Bound<'_, PyAny>>,
    argument: &str,
    right: &str,
    read: impl FnOnce(&Core) -> Option<T>,
) -> PyResult<Option<T>> {
    let Some(given) = given else { return Ok(None) };
    let found = given.getattr("_core").ok();
    let found = found.as_ref().and_then(|found| found.cast::<PreparedSettings>().ok());
    match found.and_then(|found| read(&found.get().0)) {
        Some(core) => Ok(Some(core)),
        None => Err(PyTypeError::new_err(format!(
            "argument '{argument}': must be {right}, not '{}'",
            class_of(given)
        ))),
    }
}

/// What `with_cache` needs to know of a model.
pub(super) fn identity(identity: Option<String>, described: &str) -> Result<String> {
    identity.ok_or_else(|| {
        Error::configuration(format!(
            "cache= cannot tell the answers of {described} from others; \
             give it to a client of a provider's model"
        ))
    })
}

/// What a client's layers and its cache were doing.
pub(super) fn describe<'a, 'py>(
    py: Python<'py>,
    routes: impl Iterator<Item = (&'a str, &'a str, &'a Stack)>,
    cache: Option<&Cache>,
) -> PyResult<Bound<'py, PyDict>> {
    let list = PyList::empty(py);
    for (provider, model, stack) in routes {
        let now = stack.snapshot();
        let route = PyDict::new(py);
        route.set_item("provider", provider)?;
        route.set_item("model", model)?;
        route.set_item("calls", now.calls)?;
        route.set_item("attempts", now.attempts)?;
        route.set_item("hedged", now.hedged)?;
        route.set_item("circuit_breaker_state", now.breaker.to_string())?;
        route.set_item("in_flight", now.in_flight)?;
        route.set_item("concurrency_limit", now.concurrency_limit)?;
        list.append(route)?;
    }
    let held = match cache {
        Some(cache) => {
            let held = PyDict::new(py);
            describe_cache(cache, &held)?;
            Some(held)
        }
        None => None,
    };
    let dict = PyDict::new(py);
    dict.set_item("routes", list)?;
    dict.set_item("cache", held)?;
    Ok(dict)
}

fn describe_cache(cache: &Cache, dict: &Bound<'_, PyDict>) -> PyResult<()> {
    let now = cache.stats();
    dict.set_item("hits", now.hits)?;
    dict.set_item("disk_hits", now.disk_hits)?;
    dict.set_item("misses", now.misses)?;
    dict.set_item("shared", now.shared)?;
    dict.set_item("hit_ratio", now.hit_ratio)?;
    dict.set_item("entries", now.memory_entries)?;
    dict.set_item("bytes", now.memory_bytes)?;
    Ok(())
}
