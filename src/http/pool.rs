//! Connection pools: one `reqwest::Client` for each distinct set of client-level settings.
//!
//! Pools hang off the runtime generation. A client must neither be used nor dropped in a forked child:
//! its connections belong to tasks of the parent's runtime, whose locks may be held for ever there.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Certificate, Client, NoProxy, Proxy, redirect};

use crate::error::{Error, Kind, Result};
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
}

#[derive(Default)]
struct Pools {
    clients: Mutex<Vec<(Key, Client)>>,
}

/// The client for `key` in this process, built on first use.
pub(super) fn client(key: &Key) -> Result<Client> {
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

/// Checks a proxy URL without building anything.
pub(super) fn proxy(url: &str) -> Result<Proxy> {
    // The URL may hold a password, so neither it nor the parser's message is repeated.
    Proxy::all(url).map(|proxy| proxy.no_proxy(NoProxy::from_env())).map_err(|_| {
        Error::new(
            Kind::Configuration,
            "Request failed: builder error: the proxy is not a URL such as http://host:3128, \
             https://host:3128 or socks5://host:1080",
        )
    })
}

#[expect(clippy::disallowed_methods, reason = "this is the transport the ban points to")]
fn build(key: &Key) -> Result<Client> {
    // Installed explicitly because rustls refuses to choose once a second provider is linked in;
    // an Err only says that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .filter_map(|root| Certificate::from_der(root).ok());
    let mut builder = Client::builder()
        .tls_certs_merge(roots)
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(key.connect)
        .pool_max_idle_per_host(MOST_IDLE)
        .pool_idle_timeout(Duration::from_secs(90))
        .tcp_keepalive(Duration::from_secs(60))
        .tcp_nodelay(true);
    match key.proxy.as_deref() {
        None => {}
        Some("") => builder = builder.no_proxy(),
        Some(url) => builder = builder.proxy(proxy(url)?),
    }
    builder.build().map_err(|error| {
        let text = format!("Request failed: builder error: {}", super::failure::root_cause(&error));
        Error::new(Kind::Configuration, text)
    })
}

/// A client remembered outside the pool, together with the process it belongs to.
pub(super) struct Held {
    generation: u64,
    client: Option<Client>,
}

impl Held {
    pub(super) fn new(generation: u64, client: Client) -> Self {
        Self { generation, client: Some(client) }
    }

    /// The client, unless it belongs to the parent of this process.
    pub(super) fn get(&self, generation: u64) -> Option<&Client> {
        if self.generation == generation { self.client.as_ref() } else { None }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.generation != runtime::generation() {
            #[expect(clippy::mem_forget, reason = "its connections belong to the parent process")]
            std::mem::forget(self.client.take());
        }
    }
}
