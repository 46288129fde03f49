//! Connection pools: one client of the HTTP library for each distinct set of client-level settings.
//!
//! Pools hang off the runtime generation. A client must neither be used nor dropped in a forked child:
//! its connections belong to tasks of the parent's runtime, whose locks may be held for ever there.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::PROXY_AUTHORIZATION;
use http::{HeaderValue, Request, Uri};
use http_body_util::Full;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connector::{Connector, Proxies};
use crate::error::Result;
use crate::runtime;

/// More distinct proxies than this at once and the oldest pool is given up.
const MOST_POOLS: usize = 64;
/// Idle connections kept a host: a thousand threads on one host must not reconnect all the time.
const MOST_IDLE: usize = 1024;

/// What has to differ for a client of its own.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) proxy: Option<String>,
    pub(super) connect: Duration,
    pub(super) public_only: bool,
}

#[derive(Default)]
struct Pools {
    clients: Mutex<Vec<(Key, Client)>>,
}

/// Sends requests over pooled connections. Cloning shares the pool.
#[derive(Clone)]
struct Client {
    hyper: legacy::Client<Connector, Full<Bytes>>,
    proxies: Proxies,
}

/// A client as one endpoint uses it.
#[derive(Clone)]
pub(super) struct Pooled {
    client: Client,
    /// What requests to the endpoint's target must tell a proxy that forwards them.
    proxy_authorization: Option<HeaderValue>,
}

impl Pooled {
    /// The client for `key`, for requests to `target`.
    ///
    /// # Errors
    /// [`crate::Kind::Configuration`] when it cannot be built.
    pub(super) fn new(key: &Key, target: &Uri) -> Result<Self> {
        let client = client(key)?;
        let proxy_authorization = client.proxies.authorization(target);
        Ok(Self { client, proxy_authorization })
    }

    /// Sends a request over a pooled connection.
    pub(super) fn request(&self, mut request: Request<Full<Bytes>>) -> legacy::ResponseFuture {
        if let Some(authorization) = &self.proxy_authorization {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        self.client.hyper.request(request)
    }
}

/// The client for `key` in this process, built on first use.
fn client(key: &Key) -> Result<Client> {
    let pools = runtime::per_process::<Pools>()?;
    // Held while building on purpose: threads that start together share one load of the root store.
    let mut clients = pools.clients.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, client)) = clients.iter().find(|(known, _)| known == key) {
        return Ok(client.clone());
    }
    let client = build(key)?;
    if clients.len() >= MOST_POOLS {
        clients.remove(0);
    }
    clients.push((key.clone(), client.clone()));
    Ok(client)
}

#[expect(clippy::disallowed_methods, reason = "this is the transport the ban points to")]
fn build(key: &Key) -> Result<Client> {
    let proxy = if key.public_only { Some("") } else { key.proxy.as_deref() };
    let proxies = Proxies::new(proxy)?;
    let connector = Connector::new(proxies.clone(), key.connect, key.public_only)?;
    let hyper = legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(90))
        .pool_max_idle_per_host(MOST_IDLE)
        .build(connector);
    Ok(Client { hyper, proxies })
}

/// A client remembered outside the pool, together with the process it belongs to.
pub(super) struct Held {
    generation: u64,
    pooled: Option<Pooled>,
}

impl Held {
    pub(super) fn new(generation: u64, pooled: Pooled) -> Self {
        Self { generation, pooled: Some(pooled) }
    }

    /// The client, unless it belongs to the parent of this process.
    pub(super) fn get(&self, generation: u64) -> Option<&Pooled> {
        if self.generation == generation { self.pooled.as_ref() } else { None }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.generation != runtime::generation() {
            #[expect(clippy::mem_forget, reason = "its connections belong to the parent process")]
            std::mem::forget(self.pooled.take());
        }
    }
}
