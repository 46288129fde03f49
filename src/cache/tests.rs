#![expect(clippy::disallowed_methods, reason = "what #[tokio::test] expands to")]

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::Semaphore;

use super::*;
use crate::error::{Error, Kind};

fn key(number: usize) -> Key {
    KeyBuilder::new("test").part(&number.to_le_bytes()).finish()
}

fn value(number: usize) -> Bytes {
    Bytes::from(format!("value {number} ").repeat(number % 50 + 1))
}

/// [`value`] as those share it who wait for it.
fn kept(number: usize) -> Arc<Bytes> {
    Arc::new(value(number))
}

fn in_memory() -> Cache {
    Cache::new(CacheSettings::default()).unwrap()
}

/// A folder of its own for each test, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("graphbit-cache-{}", uuid::Uuid::new_v4()));
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("below").join("answers.cache")
    }

    fn cache(&self) -> Cache {
        self.lasting(None)
    }

    fn lasting(&self, ttl: Option<Duration>) -> Cache {
        let path = Some(self.file());
        Cache::new(CacheSettings { path, ttl, ..CacheSettings::default() }).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.file().parent().unwrap()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn counts(cache: &Cache) -> (u64, u64, u64, u64) {
    let stats = cache.stats();
    (stats.hits, stats.disk_hits, stats.shared, stats.misses)
}

#[tokio::test]
async fn lookups_are_counted_once_each() {
    let cache = in_memory();
    assert_eq!(cache.stats(), CacheStats::default());
    assert_eq!(cache.peek::<Bytes>(&key(1)), None);
    assert_eq!(counts(&cache), (0, 0, 0, 0), "who misses here asks again");
    assert_eq!(cache.get::<Bytes>(&key(1)).await, None);
    assert_eq!(counts(&cache), (0, 0, 0, 1));
    cache.put_many(vec![(key(1), value(1))]).await;
    assert_eq!(cache.peek(&key(1)), Some(value(1)));
    assert_eq!(cache.get(&key(1)).await, Some(value(1)));
    let found = cache.get_many(&[key(1), key(2), key(1)]).await;
    assert_eq!(found, [Some(value(1)), None, Some(value(1))]);
    assert_eq!(counts(&cache), (4, 0, 0, 2));
    let fresh = cache.share(key(2), || async { Ok(value(2)) }).await.unwrap();
    assert_eq!(fresh, (kept(2), Origin::Fresh));
    let found = cache.share(key(2), || async { Ok(value(3)) }).await.unwrap();
    assert_eq!(found, (kept(2), Origin::Memory));
    assert_eq!(counts(&cache), (5, 0, 0, 3));
    let stats = cache.stats();
    assert!((stats.hit_ratio - 5.0 / 8.0).abs() < 1e-9);
    assert_eq!(stats.memory_entries, 2);
    cache.clear().await;
    assert_eq!((cache.peek::<Bytes>(&key(1)), cache.stats().memory_bytes), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_at_once_work_once() {
    let cache = in_memory();
    let runs = Arc::new(AtomicUsize::new(0));
    let calls = (0..1000).map(|_| {
        let runs = Arc::clone(&runs);
        cache.share(key(1), || async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            runs.fetch_add(1, Ordering::SeqCst);
            Ok(value(1))
        })
    });
    let outcomes = join_all(calls).await;
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    let fresh = outcomes.iter().filter(|outcome| outcome.as_ref().unwrap().1 == Origin::Fresh);
    assert_eq!(fresh.count(), 1);
    assert!(outcomes.iter().all(|outcome| *outcome.as_ref().unwrap().0 == value(1)));
    assert_eq!(counts(&cache), (0, 0, 999, 1));
    assert_eq!(cache.0.flights.get().count(), 0);
}

#[test]
fn threads_that_call_at_once_work_once() {
    for round in 0..50 {
        let cache = in_memory();
        let runs = Arc::new(AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let runs = Arc::clone(&runs);
                    let call = cache.share(key(round), move || {
                        runs.fetch_add(1, Ordering::SeqCst);
                        std::future::ready(Ok(value(round)))
                    });
                    assert_eq!(on_this_thread(call).unwrap().0, kept(round));
                });
            }
        });
        let stats = cache.stats();
        assert_eq!((stats.misses, stats.hits + stats.shared), (1, 7));
        assert_eq!(cache.0.flights.get().count(), 0);
    }
}

fn on_this_thread<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Work that waits for a permit, and tells when it began, ended, or was dropped.
#[derive(Clone)]
struct Probe {
    gate: Arc<Semaphore>,
    begun: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl Probe {
    fn new() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), begun: Arc::default(), dropped: Arc::default() }
    }

    fn work(&self) -> impl FnOnce() -> BoxFuture<'static, Result<Bytes>> + Send + use<> {
        struct Told(Arc<AtomicUsize>);
        impl Drop for Told {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let probe = self.clone();
        move || {
            let told = Told(Arc::clone(&probe.dropped));
            let work = async move {
                let _told = told;
                probe.begun.fetch_add(1, Ordering::SeqCst);
                let _permit = probe.gate.acquire().await;
                Ok(value(7))
            };
            work.boxed()
        }
    }

    fn counts(&self) -> (usize, usize) {
        (self.begun.load(Ordering::SeqCst), self.dropped.load(Ordering::SeqCst))
    }
}

#[tokio::test]
async fn one_who_leaves_does_not_stop_the_work_and_the_last_one_does() {
    let cache = in_memory();
    let probe = Probe::new();
    let mut first = Box::pin(cache.share(key(1), probe.work()));
    let mut second = Box::pin(cache.share(key(1), probe.work()));
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    drop(first);
    assert_eq!(probe.counts(), (1, 0), "the second still waits");
    probe.gate.add_permits(1);
    assert_eq!(second.await.unwrap(), (kept(7), Origin::Shared));
    assert_eq!(probe.counts(), (1, 1), "it ran once");

    let probe = Probe::new();
    let mut calls: Vec<_> = (0..3).map(|_| Box::pin(cache.share(key(2), probe.work()))).collect();
    assert!(calls.iter_mut().all(|call| call.now_or_never().is_none()));
    drop(calls);
    assert_eq!(probe.counts(), (1, 1), "nobody waits");
    assert_eq!(cache.0.flights.get().count(), 0);
    probe.gate.add_permits(1);
    assert_eq!(cache.share(key(2), probe.work()).await.unwrap().1, Origin::Fresh);
}

#[tokio::test]
async fn whoever_goes_on_with_the_work_is_woken() {
    let cache = in_memory();
    let probe = Probe::new();
    let mut first = Box::pin(cache.share(key(1), probe.work()));
    assert!((&mut first).now_or_never().is_none());
    let mut waiting: Vec<_> = (0..3)
        .map(|_| {
            let (cache, probe) = (cache.clone(), probe.clone());
            tokio::spawn(async move { cache.share(key(1), probe.work()).await })
        })
        .collect();
    tokio::task::yield_now().await;
    drop(first);
    // One of those who were woken goes before it comes to its turn.
    waiting.remove(0).abort();
    tokio::task::yield_now().await;
    waiting.remove(0).abort();
    probe.gate.add_permits(1);
    let last = tokio::time::timeout(Duration::from_secs(10), waiting.remove(0)).await;
    assert_eq!(last.unwrap().unwrap().unwrap(), (kept(7), Origin::Shared));
    assert_eq!(probe.counts(), (1, 1), "it ran once");
}

#[tokio::test]
async fn an_error_reaches_all_who_wait_and_is_not_kept() {
    let cache = in_memory();
    let gate = Arc::new(Semaphore::new(0));
    let failing = || {
        let gate = Arc::clone(&gate);
        || async move {
            let _permit = gate.acquire().await;
            Err::<Bytes, _>(
                Error::new(Kind::Server, "broken").with_status(503).with_source("the cause"),
            )
        }
    };
    let mut calls: Vec<_> = (0..5).map(|_| Box::pin(cache.share(key(1), failing()))).collect();
    assert!(calls.iter_mut().all(|call| call.now_or_never().is_none()));
    gate.add_permits(1);
    let errors: Vec<_> =
        join_all(calls).await.into_iter().map(|outcome| outcome.unwrap_err()).collect();
    assert!(errors.iter().all(|error| error.status() == Some(503)));
    assert_eq!(errors.iter().filter(|error| error.source().is_some()).count(), 1);
    let next = cache.share(key(1), || async { Ok(value(1)) }).await.unwrap();
    assert_eq!(next, (kept(1), Origin::Fresh));
}

#[tokio::test]
async fn a_panic_is_an_error_and_the_next_call_works() {
    let cache = in_memory();
    let panicking = || async { panic!("boom in the work") };
    let error = cache.share::<Bytes, _>(key(1), panicking).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert!(error.message().contains("boom in the work"));
    let error = cache
        .share(key(1), || -> std::future::Ready<Result<Bytes>> { panic!("boom before it") })
        .await
        .unwrap_err();
    assert!(error.message().contains("boom before it"));
    assert_eq!(cache.share(key(1), || async { Ok(value(1)) }).await.unwrap().1, Origin::Fresh);
}

#[tokio::test]
async fn the_file_outlives_the_cache() {
    let folder = Folder::new();
    let cache = folder.cache();
    let large = Bytes::from(vec![3; 10 << 20]);
    cache.put_many((0..500).map(|number| (key(number), value(number)))).await;
    assert_eq!(cache.share(key(500), || async { Ok(value(500)) }).await.unwrap().1, Origin::Fresh);
    cache.put_many(vec![(key(3), value(30)), (key(501), large.clone())]).await;
    assert_eq!(cache.peek::<Bytes>(&key(501)), None, "too large for memory");
    drop(cache);

    let cache = folder.cache();
    let keys: Vec<_> = (0..502).map(key).collect();
    let found = cache.get_many(&keys).await;
    for (number, found) in found.into_iter().enumerate() {
        let expected = match number {
            3 => value(30),
            501 => large.clone(),
            _ => value(number),
        };
        assert!(found == Some(expected), "{number}");
    }
    assert_eq!(counts(&cache), (502, 502, 0, 0));
    assert_eq!(cache.peek(&key(9)), Some(value(9)), "what was read is in memory now");

    let cache = folder.cache();
    let never = || async { Err::<Bytes, _>(Error::new(Kind::Internal, "not to be asked")) };
    assert_eq!(cache.share(key(4), never).await.unwrap(), (kept(4), Origin::Disk));
    cache.clear().await;
    assert_eq!(folder.cache().get::<Bytes>(&key(4)).await, None);
}

/// Has a form of its own, but for zero, which has none.
#[derive(Debug, PartialEq)]
struct Number(u8);

impl Kept for Number {
    fn write(&self) -> Option<Bytes> {
        (self.0 > 0).then(|| Bytes::from(vec![b'#', self.0]))
    }

    fn read(entry: &Bytes) -> Option<Self> {
        match **entry {
            [b'#', number] => Some(Self(number)),
            _ => None,
        }
    }
}

#[tokio::test]
async fn an_entry_of_another_version_is_a_miss_and_is_replaced() {
    let folder = Folder::new();
    folder.cache().put_many(vec![(key(1), Bytes::from("of an earlier version"))]).await;
    let cache = folder.cache();
    assert_eq!(cache.get::<Number>(&key(1)).await, None);
    let (number, origin) = cache.share(key(1), || async { Ok(Number(7)) }).await.unwrap();
    assert_eq!((&*number, origin), (&Number(7), Origin::Fresh));
    assert_eq!(counts(&cache), (0, 0, 0, 2));
    assert_eq!(folder.cache().get(&key(1)).await, Some(Number(7)));
}

#[tokio::test]
async fn an_answer_that_cannot_be_written_reaches_its_caller_and_is_not_kept() {
    let folder = Folder::new();
    let cache = folder.cache();
    for _ in 0..2 {
        let (number, origin) = cache.share(key(1), || async { Ok(Number(0)) }).await.unwrap();
        assert_eq!((&*number, origin), (&Number(0), Origin::Fresh));
    }
    cache.put_many(Number(3).write().map(|entry| (key(3), entry))).await;
    assert_eq!(cache.get_many(&[key(1), key(3)]).await, [None, Some(Number(3))]);
}

#[tokio::test]
async fn the_stricter_time_to_live_rules_the_file() {
    let folder = Folder::new();
    let with_ttl =
        |milliseconds: Option<u64>| folder.lasting(milliseconds.map(Duration::from_millis));
    with_ttl(None).put_many(vec![(key(1), value(1))]).await;
    with_ttl(Some(200)).put_many(vec![(key(2), value(2))]).await;
    assert_eq!(with_ttl(Some(60_000)).get(&key(1)).await, Some(value(1)));
    assert_eq!(with_ttl(None).get(&key(1)).await, Some(value(1)));
    // The file knows the wall clock only.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(with_ttl(None).get::<Bytes>(&key(2)).await, None, "its writer said so");
    assert_eq!(with_ttl(Some(200)).get::<Bytes>(&key(1)).await, None, "its reader says so");
    assert_eq!(with_ttl(None).get(&key(1)).await, Some(value(1)));
    // A new writer sweeps what has expired.
    with_ttl(None).put_many(vec![(key(3), value(3))]).await;
    let rows = rows_soon(&folder.file(), 2);
    assert_eq!(rows, 2, "the expired row is gone");
}

/// The number of rows, once it is `expected` or ten seconds have passed.
fn rows_soon(path: &Path, expected: i64) -> i64 {
    let connection = rusqlite::Connection::open(path).unwrap();
    let count = || {
        let query = "SELECT count(*) FROM entries";
        connection.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    for _ in 0..1000 {
        if count() == expected {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    count()
}

#[tokio::test]
async fn whatever_expires_leaves_room_in_the_file() {
    let folder = Folder::new();
    let brief = folder.lasting(Some(Duration::from_millis(1)));
    brief.put_many((0..12_000).map(|number| (key(number), Bytes::new()))).await;
    std::thread::sleep(Duration::from_millis(20));
    // More than one sweep removes; each of a few more commits finishes another part.
    let cache = folder.cache();
    for number in 0..4 {
        cache.put_many(vec![(key(20_000 + number), value(number))]).await;
    }
    assert_eq!(rows_soon(&folder.file(), 4), 4);
}

#[tokio::test]
async fn a_rotten_row_is_a_miss_and_its_neighbours_are_not() {
    let folder = Folder::new();
    folder.cache().put_many((0..4).map(|number| (key(number), value(number)))).await;
    let connection = rusqlite::Connection::open(folder.file()).unwrap();
    let spoil = |what: &str, number: usize| {
        let query = format!("UPDATE entries SET {what} WHERE key = ?1");
        assert_eq!(connection.execute(&query, [&key(number).as_bytes()[..]]).unwrap(), 1);
    };
    spoil("value = x'00'", 0);
    spoil("expires = 99999999999999", 1);
    spoil("checksum = checksum + 1", 2);
    let found = folder.cache().get_many(&[key(0), key(1), key(2), key(3)]).await;
    assert_eq!(found, [None, None, None, Some(value(3))]);
    assert_eq!(rows_soon(&folder.file(), 1), 1);
}

#[tokio::test]
async fn what_is_no_cache_file_is_set_aside() {
    let other_kind = |path: &Path| {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.execute_batch("CREATE TABLE letters (text)").unwrap();
    };
    let other_version = |path: &Path| {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.pragma_update(None, "application_id", 0x6762_6361).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
    };
    let garbage =
        |path: &Path| std::fs::write(path, b"no database, but text ".repeat(500)).unwrap();
    let cases: [&dyn Fn(&Path); 3] = [&garbage, &other_kind, &other_version];
    for spoil in cases {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.file().parent().unwrap()).unwrap();
        spoil(&folder.file());
        let before = std::fs::read(folder.file()).unwrap();
        let cache = folder.cache();
        assert_eq!(cache.get::<Bytes>(&key(1)).await, None);
        cache.put_many(vec![(key(1), value(1))]).await;
        assert_eq!(folder.cache().get(&key(1)).await, Some(value(1)));
        let aside: Vec<_> =
            folder.names().into_iter().filter(|name| name.contains(".corrupt-")).collect();
        assert_eq!(aside.len(), 1, "{aside:?}");
        assert!(aside[0].starts_with("answers.cache.corrupt-"));
        let kept = folder.file().with_file_name(&aside[0]);
        assert_eq!(std::fs::read(kept).unwrap(), before, "nothing of it is lost");
    }
}

#[tokio::test]
async fn damage_inside_a_file_in_use_is_found_and_the_cache_goes_on() {
    let folder = Folder::new();
    let writer = folder.cache();
    writer.put_many((0..2000).map(|number| (key(number), value(number)))).await;
    drop(writer);
    // The last connection's close moves the log into the file, in its own time.
    let connection = rusqlite::Connection::open(folder.file()).unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(connection);
    let bytes = std::fs::read(folder.file()).unwrap();
    let cache = folder.cache();
    assert_eq!(cache.get(&key(1)).await, Some(value(1)));
    // Everything behind the header is overwritten in place, as a broken disk would.
    let mut broken = bytes;
    broken[4096..].fill(0xA5);
    std::fs::write(folder.file(), broken).unwrap();
    let reader = folder.cache();
    assert_eq!(reader.get_many::<Bytes>(&(0..2000).map(key).collect::<Vec<_>>()).await.len(), 2000);
    reader.put_many(vec![(key(5000), value(5000))]).await;
    assert_eq!(folder.cache().get(&key(5000)).await, Some(value(5000)));
    assert!(folder.names().iter().any(|name| name.contains(".corrupt-")));
    // The one that had the old file open moves over to the new one.
    cache.put_many(vec![(key(5001), value(5001))]).await;
    assert_eq!(folder.cache().get(&key(5001)).await, Some(value(5001)));
}

#[tokio::test]
async fn a_file_that_is_removed_is_begun_anew() {
    let folder = Folder::new();
    let cache = folder.cache();
    cache.put_many(vec![(key(1), value(1))]).await;
    std::fs::remove_dir_all(&folder.0).unwrap();
    cache.put_many(vec![(key(2), value(2))]).await;
    let found = folder.cache().get_many(&[key(1), key(2)]).await;
    assert_eq!(found, [None, Some(value(2))]);
}

#[tokio::test]
async fn without_a_usable_file_it_is_a_cache_in_memory() {
    let folder = Folder::new();
    std::fs::create_dir_all(&folder.0).unwrap();
    // A file where a folder should be: nobody may create what lies below, the superuser included.
    std::fs::write(folder.0.join("below"), b"").unwrap();
    let cache = folder.cache();
    assert_eq!(cache.get::<Bytes>(&key(1)).await, None);
    cache.put_many(vec![(key(1), value(1))]).await;
    assert_eq!(cache.get(&key(1)).await, Some(value(1)));
    assert_eq!(cache.share(key(2), || async { Ok(value(2)) }).await.unwrap().1, Origin::Fresh);
    cache.clear().await;
    assert_eq!(cache.get::<Bytes>(&key(1)).await, None);
}
