//! A few connections that are used again, and attempts that are made again.
//!
//! A connection goes back only from work that ended well; any other is dropped, and the server rolls back what
//! was begun on it. It refuses to hold more than it was given places for, and to wait for a server that has been
//! away for long: then every call fails at once until one gets through.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_postgres::Client;

use super::dsn::Target;
use super::failure::{Again, Failure};
use crate::error::{Error, Kind, Result};
use crate::runtime::{self, Task};
use crate::store::checks::closed;

/// Attempts at most, and the pauses between them, which double: five seconds together.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A server that nobody has reached for so long is not waited for any more.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much later than the server's our own limit fires.
const SLACK: Duration = Duration::from_secs(5);

/// One connection. Dropping it ends it.
struct Link {
    client: Client,
    _driver: Task<()>,
}

/// The connections of one process.
pub(super) struct Pool {
    target: Arc<Target>,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Link>>,
    /// Since when no connection came about.
    away: Mutex<Option<Instant>>,
    timeout: Duration,
}

/// Work on one connection, to be tried again if need be.
pub(super) trait Work<T>:
    for<'c> Fn(&'c mut Client) -> BoxFuture<'c, Result<T, Failure>> + Send + Sync
{
}

impl<T, F> Work<T> for F where
    F: for<'c> Fn(&'c mut Client) -> BoxFuture<'c, Result<T, Failure>> + Send + Sync
{
}

impl Pool {
    pub(super) fn new(target: Arc<Target>, connections: usize, timeout: Duration) -> Self {
        let places = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
        Self { target, places, idle: Mutex::default(), away: Mutex::default(), timeout }
    }

    /// Does work that may be done twice.
    ///
    /// # Errors
    /// The server's refusal; [`Kind::Network`] and [`Kind::Timeout`].
    pub(super) async fn run<T>(&self, work: impl Work<T>) -> Result<T> {
        self.attempts(work, true).await
    }

    /// Does work that would say something else the second time: it is not repeated when the connection broke in
    /// the middle of it.
    ///
    /// # Errors
    /// As for [`Pool::run`].
    pub(super) async fn run_once<T>(&self, work: impl Work<T>) -> Result<T> {
        self.attempts(work, false).await
    }

    async fn attempts<T>(&self, work: impl Work<T>, repeatable: bool) -> Result<T> {
        let (mut pause, mut attempt) = (FIRST_PAUSE, 0);
        loop {
            attempt += 1;
            let (failure, begun) = match self.attempt(&work).await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            let again = match failure.again() {
                Again::No => false,
                Again::Undone => true,
                Again::Unknown => repeatable || !begun,
            };
            if !again || attempt == ATTEMPTS || self.is_away_for_long() {
                return Err(failure.into_error(&self.target).with_attempts(attempt));
            }
            // Those that got into each other's way must not come back in step.
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One attempt; of a failure, whether the work had begun.
    async fn attempt<T>(&self, work: &impl Work<T>) -> Result<T, (Failure, bool)> {
        let (mut link, _place) = self.take().await.map_err(|failure| (failure, false))?;
        let limit = self.timeout.saturating_add(SLACK);
        let late = |_| Failure::Late(timed_out(self.timeout));
        let done = timeout(limit, work(&mut link.client)).await.map_err(late).flatten();
        let done = done.map_err(|failure| (failure, true))?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // What was under way when the store was closed does not keep its connection.
        if !self.places.is_closed() {
            idle.push(link);
        }
        Ok(done)
    }

    /// Does work that may take as long as it takes, once, on a connection that is not used again.
    ///
    /// # Errors
    /// As for [`Pool::run`].
    pub(super) async fn run_for_long<T>(&self, work: impl Work<T>) -> Result<T> {
        let told = |failure: Failure| failure.into_error(&self.target);
        let (mut link, _place) = self.take().await.map_err(told)?;
        work(&mut link.client).await.map_err(told)
    }

    async fn take(&self) -> Result<(Link, OwnedSemaphorePermit), Failure> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| closed())?;
        let known = || self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        while let Some(link) = known() {
            if !link.client.is_closed() {
                return Ok((link, place));
            }
        }
        let link = self.connect().await;
        // One that was told to go away by the server has reached it.
        let reached = !matches!(&link, Err(failure) if failure.again() != Again::No);
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        *away = if reached { None } else { Some(away.unwrap_or_else(Instant::now)) };
        Ok((link?, place))
    }

    /// A new connection, with its limit on statements.
    async fn connect(&self) -> Result<Link, Failure> {
        let target = &self.target;
        let limit = target.connect_timeout;
        let connecting = async {
            let (client, connection) = target.config.connect(target.tls.clone()).await?;
            let driver = runtime::spawn(async move {
                // What ends it is told to whoever waits for an answer.
                let _ = connection.await;
                Ok(())
            });
            let limit = self.timeout.as_millis();
            client
                .batch_execute(&format!(
                    "set statement_timeout = {limit}; set client_min_messages = warning"
                ))
                .await?;
            Ok(Link { client, _driver: driver })
        };
        let late = |_| {
            let text = format!("PostgreSQL: no connection within {limit:?}");
            Failure::Late(Error::new(Kind::Timeout, text))
        };
        timeout(limit, connecting).await.map_err(late).flatten()
    }

    fn is_away_for_long(&self) -> bool {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.is_some_and(|since| since.elapsed() > PATIENCE)
    }

    /// Lets go of all connections; work that is under way ends, later work is refused.
    pub(super) fn close(&self) {
        self.places.close();
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        drop(idle);
    }
}

fn timed_out(limit: Duration) -> Error {
    Error::new(Kind::Timeout, format!("PostgreSQL: no answer within {limit:?}"))
}
