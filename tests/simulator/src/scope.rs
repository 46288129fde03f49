//! Scopes: name, behaviour, log and counters of one test, and the ticket that follows a request.
//!
//! A scope springs into being with the first request to `/s/<name>/...`; the root scope has no
//! prefix. It refuses to be more than bookkeeping: what is answered is decided elsewhere.
//!
//! ```text
//! /v1/chat/completions        root scope
//! /s/mine/v1/chat/completions scope "mine"
//! ```

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use crate::behaviour::Behaviour;
use crate::dialect::Predictions;
use crate::log::{Entry, Log, Stats};

/// More live scopes than any test run needs; beyond it requests are refused.
const SCOPES: usize = 10_000;

/// What scopes do that were told nothing: the command line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    pub(crate) log: bool,
    pub(crate) dimensions: usize,
    pub(crate) latency_ms: f64,
}

/// All scopes of the server.
pub(crate) struct Scopes {
    root: Arc<Scope>,
    named: RwLock<HashMap<String, Arc<Scope>>>,
    pub(crate) defaults: Defaults,
}

/// One test's share of the server.
#[derive(Default)]
pub(crate) struct Scope {
    behaviour: RwLock<Arc<Behaviour>>,
    pub(crate) log: Log,
    pub(crate) stats: Stats,
    pub(crate) predictions: Predictions,
}

impl Scopes {
    pub(crate) fn new(defaults: Defaults) -> Self {
        Self { root: Arc::default(), named: RwLock::default(), defaults }
    }

    /// The scope a path belongs to and the rest of the path; `None` when there are too many.
    pub(crate) fn find<'a>(&self, path: &'a str) -> Option<(Arc<Scope>, &'a str)> {
        let Some(scoped) = path.strip_prefix("/s/") else {
            return Some((Arc::clone(&self.root), path));
        };
        let (name, rest) = scoped.split_at(scoped.find('/').unwrap_or(scoped.len()));
        let known = self.named.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(scope) = known {
            return Some((scope, rest));
        }
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= SCOPES {
            return None;
        }
        Some((Arc::clone(named.entry(name.to_owned()).or_default()), rest))
    }

    /// Drops a named scope; its running requests end as they would.
    pub(crate) fn forget(&self, scope: &Arc<Scope>) {
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        named.retain(|_, kept| !Arc::ptr_eq(kept, scope));
    }
}

impl Scope {
    pub(crate) fn behaviour(&self) -> Arc<Behaviour> {
        Arc::clone(&self.behaviour.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_behaviour(&self, behaviour: Behaviour) {
        let mut current = self.behaviour.write().unwrap_or_else(PoisonError::into_inner);
        behaviour.inherit(&current);
        *current = Arc::new(behaviour);
    }

    /// Plain behaviour, empty log, zero counters.
    pub(crate) fn reset(&self) {
        self.set_behaviour(Behaviour::default());
        self.log.clear();
        self.stats.clear();
        self.predictions.clear();
    }
}

/// A request on its way; dropped before [`Ticket::finish`], it means that the client went away.
pub(crate) struct Ticket {
    scope: Arc<Scope>,
    logged: Option<u64>,
    started: Instant,
    status: Option<u16>,
    spoilt: bool,
    finished: bool,
}

impl Ticket {
    /// Counts the request in; `entry` is kept in the log when there is one.
    pub(crate) fn open(scope: Arc<Scope>, entry: Option<Entry>, started: Instant) -> Self {
        let stats = &scope.stats;
        stats.requests.fetch_add(1, Relaxed);
        let in_flight = stats.in_flight.fetch_add(1, Relaxed) + 1;
        stats.max_in_flight.fetch_max(in_flight, Relaxed);
        let logged = entry.map(|entry| scope.log.open(entry));
        Self { scope, logged, started, status: None, spoilt: false, finished: false }
    }

    pub(crate) fn set_status(&mut self, status: u16) {
        self.status = Some(status);
    }

    /// What is sent is no answer, whatever its status says.
    pub(crate) fn spoil(&mut self) {
        self.spoilt = true;
    }

    /// The server has done all it meant to do for this request.
    pub(crate) fn finish(&mut self) {
        if !std::mem::replace(&mut self.finished, true) {
            self.close(false);
        }
    }

    fn close(&self, disconnected: bool) {
        let stats = &self.scope.stats;
        stats.in_flight.fetch_sub(1, Relaxed);
        if disconnected {
            stats.disconnects.fetch_add(1, Relaxed);
        } else {
            let spent = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let fate = match self.status {
                Some(429) => &stats.refused,
                Some(..400) if !self.spoilt => &stats.answered,
                _ => &stats.failed,
            };
            fate.fetch_add(1, Relaxed);
            stats.service_nanoseconds.fetch_add(spent, Relaxed);
        }
        if let Some(number) = self.logged {
            self.scope.log.close(number, self.status, disconnected);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.finished {
            self.close(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes() -> Scopes {
        Scopes::new(Defaults { log: true, dimensions: 8, latency_ms: 0.0 })
    }

    #[test]
    fn paths_find_their_scope() {
        let scopes = scopes();
        let (first, rest) = scopes.find("/s/a/v1/chat/completions").unwrap();
        assert_eq!(rest, "/v1/chat/completions");
        assert!(Arc::ptr_eq(&first, &scopes.find("/s/a").unwrap().0));
        assert!(!Arc::ptr_eq(&first, &scopes.find("/s/b/").unwrap().0));
        assert_eq!(scopes.find("/v1/x").unwrap().1, "/v1/x");
        scopes.forget(&first);
        assert!(!Arc::ptr_eq(&first, &scopes.find("/s/a").unwrap().0));
    }

    #[test]
    fn a_dropped_ticket_is_a_disconnect_and_a_finished_one_is_not() {
        let (scope, _) = scopes().find("/s/a").unwrap();
        let mut done = Ticket::open(Arc::clone(&scope), None, Instant::now());
        let lost = Ticket::open(Arc::clone(&scope), None, Instant::now());
        done.finish();
        drop(done);
        drop(lost);
        let stats: serde_json::Value = serde_json::from_slice(&scope.stats.to_json()).unwrap();
        assert_eq!(stats["requests"], 2);
        assert_eq!(stats["disconnects"], 1);
        assert_eq!(stats["in_flight"], 0);
        assert_eq!(stats["max_in_flight"], 2);
    }

    #[test]
    fn every_request_has_one_fate() {
        let (scope, _) = scopes().find("/s/a").unwrap();
        for (status, spoilt) in [
            (Some(200), false),
            (Some(200), true),
            (Some(429), false),
            (Some(503), false),
            (None, false),
        ] {
            let mut ticket = Ticket::open(Arc::clone(&scope), None, Instant::now());
            ticket.status = status;
            ticket.spoilt = spoilt;
            ticket.finish();
        }
        let stats: serde_json::Value = serde_json::from_slice(&scope.stats.to_json()).unwrap();
        let fates = ["answered", "refused", "failed"].map(|fate| stats[fate].as_u64().unwrap());
        assert_eq!(fates, [1, 1, 3]);
    }
}
