//! One connection to the file: SQLite with a write-ahead log, one table, a checksum in each row.
//!
//! It refuses to trust the file. A row whose checksum is wrong is deleted; a file that is no database of
//! this package is set aside, under a name that says when, and begun anew. It also refuses to touch SQLite
//! in a process whose ancestor had used it before the fork: SQLite keeps locks and open files in global
//! state, and both would be the ancestor's.
//!
//! The table has row ids although its key is no number: rows as large as embeddings would otherwise lie in
//! the nodes of the key's own tree and leave them little fan-out.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::Key;
use super::disk::Change;
use crate::runtime;

/// "gbca": what marks an SQLite file as a cache of this package.
const APPLICATION: i64 = 0x6762_6361;
/// Of the table below; a file of any other version is set aside.
const VERSION: i64 = 1;
/// How long to wait for another process's commit. A commit takes milliseconds, so this is a stuck one.
const BUSY: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(2);
/// After a large burst the log is cut back to this.
const LOG_BYTES: i64 = 16 << 20;
/// SQLite refuses values from 1 GB on, and the refusal would take the whole batch along.
const LARGEST_VALUE: usize = 256 << 20;

const CREATE: &str = "
    CREATE TABLE entries (
        key BLOB NOT NULL UNIQUE,
        value BLOB NOT NULL,
        checksum INTEGER NOT NULL,
        created INTEGER NOT NULL,
        expires INTEGER
    ) STRICT;
    CREATE INDEX expiring ON entries (expires) WHERE expires IS NOT NULL;
";
const SELECT: &str = "SELECT value, checksum, created, expires FROM entries WHERE key = ?1";
const INSERT: &str = "
    INSERT OR REPLACE INTO entries (key, value, checksum, created, expires)
    VALUES (?1, ?2, ?3, ?4, ?5)";
const DELETE_EXPIRED: &str = "
    DELETE FROM entries WHERE rowid IN
        (SELECT rowid FROM entries WHERE expires <= ?1 ORDER BY expires LIMIT ?2)";
/// Rows removed at once; few, so that nobody waits for long behind it.
const SWEEP: i64 = 5000;

/// A value from the file.
pub(super) struct Stored {
    pub(super) value: Bytes,
    /// How long it may still be used; `None` for ever.
    pub(super) left: Option<Duration>,
}

/// Why the file cannot be used now.
pub(super) struct Refusal(pub(super) String);

/// Device and inode, which a rename keeps and a new file changes. `None` where the system has none.
pub(super) type Identity = Option<(u64, u64)>;

pub(super) struct Database {
    connection: Connection,
    identity: Identity,
}

enum Fault {
    Damaged(String),
    Unusable(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        if is_damage(&error) { Self::Damaged(text) } else { Self::Unusable(text) }
    }
}

impl Database {
    /// Opens the file, creates it, or sets a damaged one aside first.
    pub(super) fn open(path: &Path) -> Result<Self, Refusal> {
        claim()?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| Refusal(error.to_string()))?;
        }
        let folder = FolderLock::take(path);
        let reason = match connect(path) {
            Ok(database) => return Ok(database),
            Err(Fault::Unusable(reason)) => return Err(Refusal(reason)),
            Err(Fault::Damaged(reason)) => reason,
        };
        move_away(path, &reason);
        let again = connect(path);
        drop(folder);
        again.map_err(|fault| match fault {
            Fault::Damaged(reason) | Fault::Unusable(reason) => Refusal(reason),
        })
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether another file, or none, has the name now.
    pub(super) fn is_moved(&self, path: &Path) -> bool {
        self.identity.is_some() && self.identity != identity_of(path)
    }

    /// Applies all changes in their order, in one transaction.
    pub(super) fn apply(
        &mut self,
        changes: &[Change],
        ttl: Option<Duration>,
    ) -> rusqlite::Result<()> {
        // Immediate: a transaction that starts by reading cannot wait for its turn to write.
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut insert = transaction.prepare(INSERT)?;
        let created = now();
        let expires = ttl.map(|ttl| created.saturating_add(milliseconds(ttl)));
        for change in changes {
            match change {
                Change::Put(entries) => {
                    for (key, value) in
                        entries.iter().filter(|(_, value)| value.len() <= LARGEST_VALUE)
                    {
                        let checksum = checksum(key, value, created, expires);
                        let row =
                            params![&key.as_bytes()[..], &value[..], checksum, created, expires];
                        insert.execute(row)?;
                    }
                }
                Change::Clear => {
                    transaction.execute("DELETE FROM entries", [])?;
                }
            }
        }
        drop(insert);
        transaction.commit()
    }

    /// The values of the keys in order. `ttl` is the reader's own: it may be stricter than the writer's.
    pub(super) fn look_up(
        &mut self,
        keys: &[Key],
        ttl: Option<Duration>,
    ) -> rusqlite::Result<Vec<Option<Stored>>> {
        let mut rotten = Vec::new();
        let mut found = Vec::with_capacity(keys.len());
        let transaction = self.connection.transaction()?;
        let mut select = transaction.prepare(SELECT)?;
        for key in keys {
            let row = select.query_row([&key.as_bytes()[..]], |row| Ok(Row::read(key, row)));
            let row = row.optional()?;
            if matches!(row, Some(None)) {
                rotten.push(key);
            }
            found.push(row.flatten().and_then(|row| row.usable(ttl)));
        }
        drop(select);
        transaction.commit()?;
        for key in rotten {
            tracing::warn!(
                target: "graphbit::resilience",
                ?key,
                "a damaged entry of the cache file was deleted"
            );
            self.connection.execute("DELETE FROM entries WHERE key = ?1", [&key.as_bytes()[..]])?;
        }
        Ok(found)
    }

    /// Removes rows whose time is up, some thousands at most. Whether there may be more.
    pub(super) fn remove_expired(&mut self) -> rusqlite::Result<bool> {
        let removed = self.connection.execute(DELETE_EXPIRED, [now(), SWEEP])?;
        Ok(i64::try_from(removed) == Ok(SWEEP))
    }
}

struct Row {
    value: Bytes,
    created: i64,
    expires: Option<i64>,
}

impl Row {
    /// `None` when the row is not what was written.
    fn read(key: &Key, row: &rusqlite::Row<'_>) -> Option<Self> {
        let value = row.get_ref(0).ok()?.as_blob().ok()?;
        let (created, expires) = (row.get(2).ok()?, row.get(3).ok()?);
        let intact = row.get::<_, i64>(1).ok()? == checksum(key, value, created, expires);
        intact.then(|| Self { value: Bytes::copy_from_slice(value), created, expires })
    }

    fn usable(self, ttl: Option<Duration>) -> Option<Stored> {
        let own = ttl.map(|ttl| self.created.saturating_add(milliseconds(ttl)));
        let end = own.into_iter().chain(self.expires).min();
        let left = end.map(|end| u64::try_from(end.saturating_sub(now())).unwrap_or_default());
        (left != Some(0))
            .then(|| Stored { value: self.value, left: left.map(Duration::from_millis) })
    }
}

/// Over everything the row says, so that a rotten date is noticed as well as a rotten value.
fn checksum(key: &Key, value: &[u8], created: i64, expires: Option<i64>) -> i64 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(key.as_bytes());
    checksum.update(&created.to_le_bytes());
    checksum.update(&expires.unwrap_or(-1).to_le_bytes());
    checksum.update(value);
    i64::from(checksum.finalize())
}

/// Milliseconds since 1970 by the system's clock, the only one that other processes share.
fn now() -> i64 {
    milliseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Whether the error means that the file's content cannot be what this package wrote.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    // `Unknown` is SQLite's plain error: a table or column of ours is missing.
    let damages = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase, ErrorCode::Unknown];
    error.sqlite_error_code().is_some_and(|code| damages.contains(&code))
}

/// The first process to come claims SQLite; processes forked from it later are refused.
fn claim() -> Result<(), Refusal> {
    /// The generation of the process that uses SQLite, 0 for none.
    static USER: AtomicU64 = AtomicU64::new(0);
    let mine = runtime::generation();
    match USER.compare_exchange(0, mine, Ordering::AcqRel, Ordering::Acquire) {
        Err(other) if other != mine => {
            let text = "this process was forked from one that had a cache file open";
            Err(Refusal(text.to_owned()))
        }
        _ => Ok(()),
    }
}

fn connect(path: &Path) -> Result<Database, Fault> {
    // One thread owns the connection, so SQLite need not lock it.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    // Before anything is written: the file may be somebody else's.
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let marks = (number("application_id")?, number("user_version")?);
    if marks != (APPLICATION, VERSION) {
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if marks != (0, 0) || tables > 0 {
            let text = format!("it is an SQLite file of another kind or version {marks:?}");
            return Err(Fault::Damaged(text));
        }
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // With a log this survives the end of the process; a power cut may cost the last commits.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    if marks == (0, 0) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(CREATE)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
    }
    Ok(Database { connection, identity: identity_of(path) })
}

/// Sets the damaged file aside, unless somebody has done so already.
pub(super) fn set_aside(path: &Path, damaged: Identity, reason: &str) {
    let _folder = FolderLock::take(path);
    if damaged.is_none() || damaged == identity_of(path) {
        move_away(path, reason);
    }
}

/// Renames the file and its companions. Called with the folder locked.
fn move_away(path: &Path, reason: &str) {
    let seconds = now() / 1000;
    let names = (0_u32..).map(|number| {
        let ending = if number == 0 { String::new() } else { format!("-{number}") };
        with_ending(path, &format!(".corrupt-{seconds}{ending}"))
    });
    let Some(target) = names.take(100).find(|name| !name.exists()) else { return };
    match fs::rename(path, &target) {
        Ok(()) => tracing::warn!(
            target: "graphbit::resilience",
            path = %path.display(),
            set_aside = %target.display(),
            reason,
            "the cache file was damaged; it was set aside and a new one is begun"
        ),
        Err(error) => tracing::warn!(
            target: "graphbit::resilience",
            path = %path.display(),
            %error,
            reason,
            "the cache file is damaged and cannot be set aside"
        ),
    }
    for companion in ["-wal", "-shm"] {
        // Mostly there is none.
        let _ = fs::rename(with_ending(path, companion), with_ending(&target, companion));
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn identity_of(path: &Path) -> Identity {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// Keeps others of this package from opening or moving files of the folder: between the renames of a
/// file and its log, a newcomer would read the old log into the new file. Advisory, and given up on after
/// a while or where folders cannot be locked.
struct FolderLock(Option<File>);

impl FolderLock {
    fn take(path: &Path) -> Self {
        let Some(file) = path.parent().and_then(|folder| File::open(folder).ok()) else {
            return Self(None);
        };
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Self(Some(file)),
                Err(TryLockError::WouldBlock) if started.elapsed() < BUSY => {
                    std::thread::sleep(POLL);
                }
                Err(_) => return Self(None),
            }
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing is not enough: a process forked meanwhile has the lock open too.
        if let Some(file) = &self.0 {
            let _ = file.unlock();
        }
    }
}
