//! The same buckets for many processes, kept by a Redis server.
//!
//! One script reads, fills, takes and answers how long to wait, by the server's own clock, so neither
//! races between processes nor their clocks matter. A request that must wait is counted at once and
//! told its time: processes are served in the order they asked, and nobody polls. Each process
//! asks for one request at a time (the head of its own line), a round trip each, so a process passes
//! at most one request a round trip.
//!
//! It refuses to stop the calls it limits: without an answer within 500 ms the process goes on by its own
//! buckets, says so once, and tries again every few seconds in the background. The key disappears when
//! its buckets would be full. Redis 5 or newer, Valkey and the like.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Script};
use tokio::time::{Instant, timeout};

use super::RedisSettings;
use super::bucket::Terms;
use crate::error::{Error, Result};
use crate::runtime::{self, PerProcess};
use crate::secret::ApiKey;

/// A server that takes longer, to connect or to answer, is left alone for [`REST`].
const LONGEST_REPLY: Duration = Duration::from_millis(500);
/// Between two attempts to reach a server that was lost.
const REST: Duration = Duration::from_secs(3);

/// Arguments: for requests and then for tokens, the rate a second (0: no limit), the capacity, what to
/// take, and what to put back. Answers microseconds to wait.
const SCRIPT: &str = "
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local kept = redis.call('HMGET', KEYS[1], 'at', 'requests', 'tokens')
local passed = kept[1] and math.max(0, now - tonumber(kept[1])) / 1000000 or 0
local changes = {'at', string.format('%.0f', now)}
local wait, filling = 0, 0
for place, name in ipairs({'requests', 'tokens'}) do
  local first = place * 4 - 3
  local rate, capacity = tonumber(ARGV[first]), tonumber(ARGV[first + 1])
  local cost, back = tonumber(ARGV[first + 2]), tonumber(ARGV[first + 3])
  if rate > 0 then
    local level = capacity
    if kept[place + 1] then level = tonumber(kept[place + 1]) + passed * rate end
    level = math.min(capacity, math.min(capacity, level) + back)
    wait = math.max(wait, (math.min(cost, capacity) - level) / rate)
    level = level - cost
    filling = math.max(filling, (capacity - level) / rate)
    table.insert(changes, name)
    table.insert(changes, string.format('%.6f', level))
  end
end
redis.call('HSET', KEYS[1], unpack(changes))
redis.call('PEXPIRE', KEYS[1], math.ceil(filling * 1000) + 1000)
return math.ceil(wait * 1000000)
";

/// So many requests and tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Amount {
    pub(super) requests: f64,
    pub(super) tokens: f64,
}

/// The terms of both buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct BothTerms {
    pub(super) requests: Terms,
    pub(super) tokens: Terms,
}

/// What every process knows of the server.
struct Server {
    client: Client,
    key: String,
    script: Script,
    /// Host and port, or the socket; no credentials.
    address: String,
    url: ApiKey,
    password: ApiKey,
}

/// Each process's connection to one server.
pub(super) struct Shared {
    server: Arc<Server>,
    link: PerProcess<Link>,
}

impl Shared {
    /// Connects nothing.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] for a name or an address that cannot be used; the address is not quoted.
    pub(super) fn new(settings: &RedisSettings) -> Result<Self> {
        if settings.name.is_empty() {
            return Err(Error::validation("name", Some(""), "name must not be empty"));
        }
        let client = Client::open(settings.url.expose()).map_err(|_| {
            let text = "redis must be redis://[[user]:password@]host[:port][/database] or \
                        unix:///path/to/socket; TLS (rediss) is not supported";
            Error::validation("redis", None, text)
        })?;
        let information = client.get_connection_info();
        let address = information.addr().to_string();
        let password = information.redis_settings().password().unwrap_or_default();
        let server = Arc::new(Server {
            address,
            password: ApiKey::new(password),
            url: settings.url.clone(),
            key: format!("graphbit:rate:{}", settings.name),
            script: Script::new(SCRIPT),
            client,
        });
        let made_from = Arc::clone(&server);
        let link = PerProcess::new(move || Link {
            server: Arc::clone(&made_from),
            state: Mutex::default(),
        });
        Ok(Self { server, link })
    }

    /// This process's connection.
    pub(super) fn link(&self) -> &Arc<Link> {
        self.link.get()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("address", &self.server.address).finish_non_exhaustive()
    }
}

/// One process's connection, if there is one.
pub(super) struct Link {
    server: Arc<Server>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    /// Set while the server is given up for a time; the user has been told then.
    lost: Option<Lost>,
    terms: BothTerms,
    /// To be put back; whatever comes meanwhile goes with the next call.
    owed: Amount,
    /// A task is putting back.
    returning: bool,
}

struct Lost {
    try_again: Instant,
    trying: bool,
}

impl Link {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the limit is shared at present.
    pub(super) fn is_up(&self) -> bool {
        self.state().connection.is_some()
    }

    /// Counts one request of `tokens`: how long it has to wait, or `None` when the server cannot be
    /// asked, or there is no limit to ask about.
    pub(super) async fn spend(self: &Arc<Self>, terms: BothTerms, tokens: f64) -> Option<Duration> {
        if terms == BothTerms::default() {
            return None;
        }
        let connection = self.connection().await?;
        self.state().terms = terms;
        self.run(connection, terms, Amount { requests: 1.0, tokens }, Amount::default()).await
    }

    /// Puts back what was counted and not used, later and unwatched.
    pub(super) fn give_back(self: &Arc<Self>, amount: Amount) {
        let mut state = self.state();
        if state.connection.is_none() {
            return;
        }
        state.owed.requests += amount.requests;
        state.owed.tokens += amount.tokens;
        if !state.returning {
            state.returning = true;
            drop(state);
            let link = Arc::clone(self);
            runtime::spawn(async move {
                link.return_owed().await;
                Ok(())
            })
            .detach();
        }
    }

    /// One task a process does this, however many answers there are to account for.
    async fn return_owed(self: Arc<Self>) {
        while let Some((connection, terms, owed)) = self.next_return() {
            // Not again when it fails: the server may have done it, and twice would exceed the limit.
            let _ = self.run(connection, terms, Amount::default(), owed).await;
        }
    }

    fn next_return(&self) -> Option<(MultiplexedConnection, BothTerms, Amount)> {
        let mut state = self.state();
        let owed = std::mem::take(&mut state.owed);
        let next = state.connection.clone().filter(|_| owed != Amount::default());
        state.returning = next.is_some();
        Some((next?, state.terms, owed))
    }

    /// The connection; made and waited for the first time, and afterwards only behind the callers'
    /// backs.
    async fn connection(self: &Arc<Self>) -> Option<MultiplexedConnection> {
        {
            let mut state = self.state();
            if let Some(connection) = &state.connection {
                return Some(connection.clone());
            }
            if let Some(lost) = &mut state.lost {
                if !lost.trying && lost.try_again <= Instant::now() {
                    lost.trying = true;
                    drop(state);
                    self.connecting().detach();
                }
                return None;
            }
        }
        self.connecting().await.ok().flatten()
    }

    /// Connects on the shared runtime, which outlives whatever runtime the caller is on.
    fn connecting(self: &Arc<Self>) -> runtime::Task<Option<MultiplexedConnection>> {
        let link = Arc::clone(self);
        runtime::spawn(async move {
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(LONGEST_REPLY))
                .set_response_timeout(Some(LONGEST_REPLY));
            let client = &link.server.client;
            let connecting = client.get_multiplexed_async_connection_with_config(&config);
            let connection = link.judge(timeout(LONGEST_REPLY, connecting).await);
            if let Some(connection) = &connection {
                link.found(connection);
            }
            Ok(connection)
        })
    }

    async fn run(
        &self,
        mut connection: MultiplexedConnection,
        terms: BothTerms,
        cost: Amount,
        back: Amount,
    ) -> Option<Duration> {
        let Server { script, key, .. } = self.server.as_ref();
        let mut call = script.key(key);
        for (terms, cost, back) in [
            (terms.requests, cost.requests, back.requests),
            (terms.tokens, cost.tokens, back.tokens),
        ] {
            call.arg(terms.rate).arg(terms.capacity).arg(cost).arg(back);
        }
        let asking = call.invoke_async::<u64>(&mut connection);
        self.judge(timeout(LONGEST_REPLY, asking).await).map(Duration::from_micros)
    }

    /// What the server gave, or `None` and the server is left alone for a while.
    fn judge<T>(
        &self,
        answer: std::result::Result<
            std::result::Result<T, RedisError>,
            tokio::time::error::Elapsed,
        >,
    ) -> Option<T> {
        let reason = match answer {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} ms", LONGEST_REPLY.as_millis()),
        };
        let now = Instant::now();
        let try_again = now.checked_add(REST).unwrap_or(now);
        let mut state = self.state();
        state.connection = None;
        state.owed = Amount::default();
        if state.lost.replace(Lost { try_again, trying: false }).is_none() {
            drop(state);
            let reason = self.server.password.redact(self.server.url.redact(reason));
            tracing::warn!(
                target: "graphbit::resilience",
                address = %self.server.address,
                %reason,
                "the shared rate limit is out of reach; this process limits itself until it is back"
            );
        }
        None
    }

    fn found(&self, connection: &MultiplexedConnection) {
        let mut state = self.state();
        state.connection = Some(connection.clone());
        if state.lost.take().is_some() {
            drop(state);
            let address = &self.server.address;
            tracing::info!(target: "graphbit::resilience", %address, "the rate limit is shared again");
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("address", &self.server.address).finish_non_exhaustive()
    }
}
