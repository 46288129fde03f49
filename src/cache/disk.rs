//! The file as callers meet it: two threads that own the connections, and queues to them.
//!
//! One thread writes: it takes everything that waits and commits it in one transaction, then answers all
//! of it. The other reads, so that no lookup waits behind a commit. Whatever goes wrong with the file, a
//! call goes on without it; the first reason is logged as a warning, later ones as debug.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::Key;
use super::database::{Database, Refusal, Stored, is_damage, set_aside};
use crate::runtime::{self, PerProcess};

/// Jobs that may wait; beyond it callers wait for a place.
const QUEUE: usize = 256;
/// Jobs taken at once: a commit costs about the same for one entry as for many.
const BATCH: usize = 64;
/// Commits between two removals of expired rows, unless the last one left some.
const COMMITS_PER_SWEEP: u32 = 1000;
/// A file that cannot be opened is left alone for so long.
const PAUSE: Duration = Duration::from_secs(5);
/// Tries of one job. More than one only when the file was moved or set aside meanwhile.
const TRIES: u32 = 3;

/// What the writing thread is asked to do.
pub(super) enum Change {
    Put(Vec<(Key, Bytes)>),
    Clear,
}

struct Writing {
    change: Change,
    done: oneshot::Sender<()>,
}

struct Lookup {
    keys: Vec<Key>,
    answer: oneshot::Sender<Vec<Option<Stored>>>,
}

struct Threads {
    writer: mpsc::Sender<Writing>,
    reader: mpsc::Sender<Lookup>,
}

/// The file of one cache. Opens nothing before the first job.
pub(super) struct Disk {
    place: Place,
    /// The threads end when the senders go. A forked child starts its own.
    threads: PerProcess<OnceLock<Option<Threads>>>,
}

#[derive(Clone)]
struct Place {
    path: PathBuf,
    ttl: Option<Duration>,
    warned: Arc<AtomicBool>,
}

impl Disk {
    pub(super) fn new(path: &Path, ttl: Option<Duration>) -> Self {
        // Absolute, so that a later change of the working folder does not move the cache.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let place = Place { path, ttl, warned: Arc::default() };
        Self { place, threads: PerProcess::new(OnceLock::new) }
    }

    /// One answer for each key in order; empty when there is no working file.
    pub(super) async fn read(&self, keys: Vec<Key>) -> Vec<Option<Stored>> {
        let (answer, reply) = oneshot::channel();
        let Some(reader) = self.with_threads(|threads| threads.reader.clone()) else {
            return Vec::new();
        };
        if reader.send(Lookup { keys, answer }).await.is_err() {
            return Vec::new();
        }
        reply.await.unwrap_or_default()
    }

    /// Returns when the change is committed, or when it cannot be.
    pub(super) async fn write(&self, change: Change) {
        let (done, reply) = oneshot::channel();
        let Some(writer) = self.with_threads(|threads| threads.writer.clone()) else { return };
        if writer.send(Writing { change, done }).await.is_ok() {
            let _ = reply.await;
        }
    }

    fn with_threads<T>(&self, choose: impl FnOnce(&Threads) -> T) -> Option<T> {
        let threads = self.threads.get();
        threads.get_or_init(|| start(&self.place)).as_ref().map(choose)
    }
}

fn start(place: &Place) -> Option<Threads> {
    // Registers the fork hook, without which a child could not know that it is one.
    let started = runtime::start().map_err(|error| error.to_string()).and_then(|()| {
        let (writer, writings) = mpsc::channel(QUEUE);
        let (reader, lookups) = mpsc::channel(QUEUE);
        let (writing, reading) = (Keeper::new(place), Keeper::new(place));
        spawn("graphbit-cache", move || write(writing, writings))?;
        spawn("graphbit-lookup", move || read(reading, lookups))?;
        Ok(Threads { writer, reader })
    });
    started.inspect_err(|reason| place.complain(reason)).ok()
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::result::Result<(), String> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(drop).map_err(|error| error.to_string())
}

fn write(mut keeper: Keeper, mut writings: mpsc::Receiver<Writing>) {
    let mut batch = Vec::new();
    let mut until_sweep = 0_u32;
    while writings.blocking_recv_many(&mut batch, BATCH) > 0 {
        let (changes, waiting): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|writing| (writing.change, writing.done)).unzip();
        let ttl = keeper.place.ttl;
        keeper.run(|database| database.apply(&changes, ttl));
        for done in waiting {
            // Whoever left does not want to know.
            let _ = done.send(());
        }
        until_sweep = match until_sweep.checked_sub(1) {
            Some(left) => left,
            None if keeper.run(Database::remove_expired) == Some(true) => 0,
            None => COMMITS_PER_SWEEP,
        };
    }
}

fn read(mut keeper: Keeper, mut lookups: mpsc::Receiver<Lookup>) {
    while let Some(lookup) = lookups.blocking_recv() {
        if lookup.answer.is_closed() {
            continue;
        }
        let ttl = keeper.place.ttl;
        let found = keeper.run(|database| database.look_up(&lookup.keys, ttl));
        let _ = lookup.answer.send(found.unwrap_or_default());
    }
}

/// One thread's connection, opened when needed and again when the file was moved away.
struct Keeper {
    place: Place,
    database: Option<Database>,
    closed_until: Option<Instant>,
}

impl Keeper {
    fn new(place: &Place) -> Self {
        Self { place: place.clone(), database: None, closed_until: None }
    }

    /// No fork comes in between: SQLite's own locks would stay locked in the child, for whatever it opens.
    fn run<T>(&mut self, work: impl Fn(&mut Database) -> rusqlite::Result<T>) -> Option<T> {
        match runtime::undivided(|| self.tried(work)) {
            Ok(done) => done,
            Err(reason) => {
                self.place.complain(reason.message());
                None
            }
        }
    }

    fn tried<T>(&mut self, work: impl Fn(&mut Database) -> rusqlite::Result<T>) -> Option<T> {
        for _ in 0..TRIES {
            let path = self.place.path.clone();
            let database = self.open()?;
            match work(database) {
                // Committed into a file that somebody set aside is not kept.
                Ok(done) if !database.is_moved(&path) => return Some(done),
                Ok(_) => self.database = None,
                Err(error) if is_damage(&error) => {
                    let identity = database.identity();
                    // Closed first: SQLite removes the companions by name when it closes.
                    self.database = None;
                    set_aside(&path, identity, &error.to_string());
                }
                Err(error) => {
                    self.place.complain(&error.to_string());
                    return None;
                }
            }
        }
        None
    }

    fn open(&mut self) -> Option<&mut Database> {
        if self.database.as_ref().is_some_and(|database| database.is_moved(&self.place.path)) {
            self.database = None;
        }
        if self.database.is_none() {
            if self.closed_until.is_some_and(|moment| Instant::now() < moment) {
                return None;
            }
            match Database::open(&self.place.path) {
                Ok(database) => self.database = Some(database),
                Err(Refusal(reason)) => {
                    self.place.complain(&reason);
                    self.closed_until = Instant::now().checked_add(PAUSE);
                }
            }
        }
        self.database.as_mut()
    }
}

impl Place {
    fn complain(&self, reason: &str) {
        let path = self.path.display();
        if self.warned.swap(true, Ordering::Relaxed) {
            tracing::debug!(target: "graphbit::resilience", %path, reason, "cache file not used");
        } else {
            tracing::warn!(
                target: "graphbit::resilience",
                %path,
                reason,
                "the cache file cannot be used now; calls go on without it"
            );
        }
    }
}
