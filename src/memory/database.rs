//! The file, its one connection, and how a piece of work gets its turn.
//!
//! Work is done on blocking threads, one piece at a time, and never while the process forks. A fork waits for the
//! pieces that are under way or waiting for their turn, so none may be long: a search takes many turns. Whoever
//! finds the file locked by another process lets go of everything and comes again a little later, for a minute at
//! most.
//!
//! A forked child opens the file anew: a connection's locks are its process's. What lives in memory only, it
//! inherits as it was at the fork. The journal is SQLite's default one, because it leaves one file that can be copied,
//! and no state outside of it that a child would share with its parent.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::schema;
use crate::error::{Error, Kind, Result};
use crate::runtime::{self, PerProcess};

/// How long SQLite itself waits for a lock. Short: no fork can begin meanwhile.
const BUSY: Duration = Duration::from_millis(100);
/// How long one of our calls waits, again and again. Commits take milliseconds, so this is a stuck process.
const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

type Held = Mutex<Option<Connection>>;

/// One memory file. Cloning shares the connection.
#[derive(Clone)]
pub(super) struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    connection: Connected,
    closed: AtomicBool,
}

enum Connected {
    File(PerProcess<Held>),
    /// Belongs to one connection and ends with it, so a child must not open its own.
    InMemory(Held),
}

impl Database {
    /// Nothing is opened yet.
    pub(super) fn new(path: &Path) -> Self {
        // SQLite's names for a database without a file.
        let (path, connection) = if path == Path::new(":memory:") || path == Path::new("") {
            (path.to_owned(), Connected::InMemory(Held::default()))
        } else {
            (absolute(path), Connected::File(PerProcess::new(Held::default)))
        };
        Self { inner: Arc::new(Inner { path, connection, closed: AtomicBool::new(false) }) }
    }

    /// Does a piece of work, opening the file first where that is needed. It may be begun several times, and
    /// leaves nothing behind when it fails if what it writes is one transaction.
    ///
    /// # Errors
    /// [`Kind::Store`] with SQLite's words, or when it is closed.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Connection) -> rusqlite::Result<T> + Send + Sync + 'static,
    {
        let (work, begun, mut pause) = (Arc::new(work), Instant::now(), FIRST_PAUSE);
        loop {
            let (inner, job) = (Arc::clone(&self.inner), Arc::clone(&work));
            let turn = runtime::spawn_blocking(move || runtime::undivided(|| inner.turn(&*job))?);
            match turn.await? {
                Ok(done) => return Ok(done),
                Err(error) if !is_locked(&error) || begun.elapsed() >= PATIENCE => {
                    return Err(failure(error));
                }
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause = LONGEST_PAUSE.min(pause.saturating_mul(2));
        }
    }

    /// Lets the file go for good. What is under way is finished first.
    pub(super) async fn close(&self) -> Result<()> {
        self.inner.closed.store(true, Ordering::Release);
        let inner = Arc::clone(&self.inner);
        runtime::spawn_blocking(move || runtime::undivided(|| inner.let_go())).await
    }
}

impl Inner {
    fn held(&self) -> &Held {
        match &self.connection {
            Connected::File(own) => own.get(),
            Connected::InMemory(held) => held,
        }
    }

    fn turn<T>(
        &self,
        work: impl Fn(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<rusqlite::Result<T>> {
        let mut held = self.held().lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at under the lock, so that nothing is opened behind a `close`.
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(Kind::Store, "Memory error: this client is closed"));
        }
        let connection = match held.as_mut() {
            Some(connection) => connection,
            None => match open(&self.path) {
                Ok(opened) => held.insert(opened),
                Err(error) => return Ok(Err(error)),
            },
        };
        Ok(work(connection))
    }

    fn let_go(&self) {
        *self.held().lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A process that may not touch SQLite leaves it to its end.
        runtime::undivided(|| self.let_go()).ok();
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    schema::prepare(&mut connection)?;
    Ok(connection)
}

/// So that a later change of the working folder does not move the file. SQLite's own addresses stay as they are.
fn absolute(path: &Path) -> PathBuf {
    if path.to_string_lossy().starts_with("file:") {
        return path.to_owned();
    }
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn is_locked(error: &rusqlite::Error) -> bool {
    let locked = [ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked];
    error.sqlite_error_code().is_some_and(|code| locked.contains(&code))
}

fn failure(error: rusqlite::Error) -> Error {
    Error::new(Kind::Store, format!("Internal error: SQLite error: {error}")).with_source(error)
}
