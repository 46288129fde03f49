//! The keywords that both client classes take, and how a client comes of them.
//!
//! A class hands over what Python gave and says what its sort of client is ([`Layered`]); which model gets
//! which layers is decided here. Refused are settings of another class, and
//! those that nobody would get: a model that is given as a client brings its own layers.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyTuple};

use super::settings::{Core, prepared};
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::python::json::class_of;
use crate::resilience::{BreakerPolicy, Order, Protection};

/// A client of the core that is made from these keywords.
pub(in super::super) trait Layered: Clone {
    /// What it asks.
    type Model: ?Sized;
    /// The classes that may stand in a list of models.
    const ENTRIES: &'static str;

    /// The breaker of a client that was told nothing about it.
    fn usual_breaker() -> Option<BreakerPolicy>;
    /// What Python gave as a model; `None` when it is none.
    fn entry(given: &Bound<'_, PyAny>) -> Option<Entry<Self>>;
    fn protected(model: Arc<Self::Model>, protection: Protection) -> Self;
    fn any_of(clients: &[Self], order: Order) -> Result<Self>;
    fn with_cache(&self, cache: Cache, identity: &str) -> Self;
    fn provider(&self) -> &str;
    /// Sorts by price, or says why there is nothing to sort by.
    fn cheapest_first(entries: &mut [Asked<Self>]) -> Result<()>;
}

/// One entry of a list of models.
pub(in super::super) enum Entry<C: Layered> {
    /// Brings its own layers.
    Client(Asked<C>),
    /// A configuration: its model, and what tells its answers in a cache from those of other models.
    Model(Arc<C::Model>, Option<String>),
}

/// A client, and what tells its answers in a cache from those of other models.
pub(in super::super) type Asked<C> = (C, Option<String>);

/// How a client was made, which is what it pickles as.
pub(in super::super) struct Recipe {
    identity: Option<String>,
    config: Py<PyAny>,
    keywords: Py<PyDict>,
}

/// What `__getnewargs_ex__` returns.
pub(in super::super) type NewArguments<'py> = ((Bound<'py, PyAny>,), Bound<'py, PyDict>);

impl Recipe {
    /// What tells the client's answers in a cache from those of other models.
    pub(in super::super) fn identity(&self) -> Option<String> {
        self.identity.clone()
    }

    /// The arguments that make the same client again.
    pub(in super::super) fn arguments<'py>(&self, py: Python<'py>) -> NewArguments<'py> {
        ((self.config.bind(py).clone(),), self.keywords.bind(py).clone())
    }
}

/// The keywords of a client, as Python gave them.
pub(in super::super) struct Keywords<'a, 'py> {
    pub(in super::super) retry: Option<&'a Bound<'py, PyAny>>,
    pub(in super::super) circuit_breaker: Option<&'a Bound<'py, PyAny>>,
    pub(in super::super) rate_limit: Option<&'a Bound<'py, PyAny>>,
    pub(in super::super) concurrency: Option<&'a Bound<'py, PyAny>>,
    pub(in super::super) hedging: Option<&'a Bound<'py, PyAny>>,
    pub(in super::super) cache: Option<&'a Bound<'py, PyAny>>,
    pub(in super::super) fallbacks: Option<&'a Bound<'py, PyAny>>,
    pub(in super::super) order: &'a str,
    pub(in super::super) weights: Option<Vec<f64>>,
}

impl<'py> Keywords<'_, 'py> {
    /// The client that they ask for, of the models in `config` and `fallbacks=`.
    pub(in super::super) fn client<C: Layered>(
        &self,
        config: &Bound<'py, PyAny>,
    ) -> PyResult<(C, Recipe)> {
        let (entries, order) = (self.entries::<C>(config)?, self.order()?);
        self.check_used(&entries)?;
        let mut asked = self.asked(entries)?;
        if order.is_none() {
            C::cheapest_first(&mut asked)?;
        }
        let identity = asked.first().and_then(|(_, identity)| identity.clone());
        let mut client = match asked.as_slice() {
            // What was given as a client stays one, with its statistics.
            [(client, _)] if self.weights.is_none() => client.clone(),
            asked => {
                let clients: Vec<C> = asked.iter().map(|(client, _)| client.clone()).collect();
                C::any_of(&clients, order.unwrap_or_default())?
            }
        };
        if let Some(cache) = self.cache()? {
            let Some(identity) = &identity else {
                return Err(Error::configuration(format!(
                    "cache= cannot tell the answers of a model of '{}' from others; \
                     give it to a client of a provider's model",
                    client.provider()
                ))
                .into());
            };
            client = client.with_cache(cache, identity);
        }
        let keywords = self.pickled(config.py())?.unbind();
        Ok((client, Recipe { identity, config: config.clone().unbind(), keywords }))
    }

    /// Every model to ask, `config` itself or what is in it first.
    fn entries<C: Layered>(&self, config: &Bound<'py, PyAny>) -> PyResult<Vec<Entry<C>>> {
        let mut models = listed(config)?;
        if let Some(fallbacks) = self.fallbacks {
            models.extend(listed(fallbacks)?);
        }
        if models.is_empty() {
            let text = "config must name at least one model";
            return Err(Error::validation("config", Some("[]"), text).into());
        }
        let entry = |given: &Bound<'py, PyAny>| {
            C::entry(given).ok_or_else(|| {
                let (right, class) = (C::ENTRIES, class_of(given));
                PyTypeError::new_err(format!(
                    "argument 'config': must be {right}, or a list of them, not '{class}'"
                ))
            })
        };
        models.iter().map(entry).collect()
    }

    /// Refuses settings that no model would get, because those that are given as clients have their own.
    fn check_used<C: Layered>(&self, entries: &[Entry<C>]) -> Result<()> {
        let is_model = |entry: &Entry<C>| matches!(entry, Entry::Model(..));
        let (any, first) = (entries.iter().any(is_model), entries.first().is_some_and(is_model));
        let unused = [
            ("retry", self.retry, any),
            ("circuit_breaker", self.circuit_breaker, any),
            ("hedging", self.hedging, any),
            // The limits are those of the first model.
            ("rate_limit", self.rate_limit, first),
            ("concurrency", self.concurrency, first),
        ];
        match unused.iter().find(|(_, given, used)| given.is_some() && !used) {
            Some((field, ..)) => {
                let text = format!(
                    "a client brings its own layers; give {field}= to that client, or a configuration here"
                );
                Err(Error::validation(field, None, &text))
            }
            None => Ok(()),
        }
    }

    /// A client of each entry. They share nothing but the settings.
    fn asked<C: Layered>(&self, entries: Vec<Entry<C>>) -> PyResult<Vec<Asked<C>>> {
        let mut asked = Vec::with_capacity(entries.len());
        for (position, entry) in entries.into_iter().enumerate() {
            asked.push(match entry {
                Entry::Client(asked) => asked,
                Entry::Model(model, identity) => {
                    let protection = self.protection(C::usual_breaker(), position == 0)?;
                    (C::protected(model, protection), identity)
                }
            });
        }
        Ok(asked)
    }

    /// The layers that they ask for; `breaker` is the client's usual one. Limits are those of the `first`
    /// model: what another server can carry is another number.
    fn protection(&self, breaker: Option<BreakerPolicy>, first: bool) -> PyResult<Protection> {
        let usual = Protection { breaker, ..Protection::default() };
        let retry = prepared(self.retry, "retry", "RetryPolicy", |core| match core {
            Core::Retry(policy) => Some(policy.clone()),
            _ => None,
        })?;
        let hedge = prepared(self.hedging, "hedging", "Hedging", |core| match core {
            Core::Hedging(settings) => Some(*settings),
            _ => None,
        })?;
        let breaker = if is_off(self.circuit_breaker) {
            None
        } else {
            let right = "CircuitBreaker or False";
            let given =
                prepared(self.circuit_breaker, "circuit_breaker", right, |core| match core {
                    Core::Breaker(policy) => Some(*policy),
                    _ => None,
                })?;
            given.or(usual.breaker)
        };
        let rate = prepared(self.rate_limit, "rate_limit", "RateLimit", |core| match core {
            Core::Rate(rate) => Some(rate.clone()),
            _ => None,
        })?;
        let concurrency = if is_off(self.concurrency) {
            None
        } else {
            let right = "AdaptiveConcurrency or False";
            let given = prepared(self.concurrency, "concurrency", right, |core| match core {
                Core::Concurrency(concurrency) => Some(concurrency.clone()),
                _ => None,
            })?;
            given.filter(|_| first).or(usual.concurrency)
        };
        let (retry, rate) = (retry.unwrap_or(usual.retry), rate.filter(|_| first));
        Ok(Protection { retry, breaker, rate, concurrency, hedge })
    }

    fn cache(&self) -> PyResult<Option<Cache>> {
        prepared(self.cache, "cache", "Cache", |core| match core {
            Core::Cache(cache) => Some(cache.clone()),
            _ => None,
        })
    }

    /// What a pickle of the client holds of them: those that were given.
    fn pickled(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
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

    /// How to choose among them; `None` for the cheapest first.
    fn order(&self) -> PyResult<Option<Order>> {
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
        Err(_) if given.is_instance_of::<PyTuple>() => given.extract(),
        Err(_) => Ok(vec![given.clone()]),
    }
}

/// `False` leaves a layer out.
fn is_off(given: Option<&Bound<'_, PyAny>>) -> bool {
    given.and_then(|given| given.cast::<PyBool>().ok()).is_some_and(|flag| !flag.is_true())
}
