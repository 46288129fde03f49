//! The cache file between processes: killed while writing, written by several at once, inherited by a fork.
//!
//! The children are this very program, started again for one of its ignored tests.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use graphbit::cache::{Cache, CacheSettings, Key, KeyBuilder};
use graphbit::runtime;

const PATH: &str = "GRAPHBIT_TEST_CACHE_PATH";
const NAME: &str = "GRAPHBIT_TEST_CACHE_NAME";
const ENTRIES_A_CHILD: usize = 400;
const KILLS: usize = 5;

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("graphbit-cache-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("answers.cache")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(path: &Path) -> Cache {
    Cache::new(CacheSettings { path: Some(path.to_owned()), ..CacheSettings::default() }).unwrap()
}

fn key(name: &str, number: usize) -> Key {
    KeyBuilder::new("test").part(name.as_bytes()).part(&number.to_le_bytes()).finish()
}

/// Long enough to span pages.
fn value(name: &str, number: usize) -> Bytes {
    Bytes::from(format!("{name} {number} ").repeat(400))
}

fn put(cache: &Cache, name: &str, number: usize) {
    let (cache, entry) = (cache.clone(), (key(name, number), value(name, number)));
    runtime::block_on(async move {
        cache.put_many(vec![entry]).await;
        Ok(())
    })
    .unwrap();
}

/// Whether a new cache, which knows the file only, has the entries.
fn assert_kept(path: &Path, name: &str, numbers: std::ops::Range<usize>) {
    let cache = open(path);
    let keys: Vec<_> = numbers.clone().map(|number| key(name, number)).collect();
    let found = runtime::block_on(async move { Ok(cache.get_many(&keys).await) }).unwrap();
    for (number, found) in numbers.zip(found) {
        assert!(found == Some(value(name, number)), "{name} {number} is lost");
    }
}

/// Kills its process when dropped, so that no test leaves one behind.
struct Running(Child);

impl Running {
    fn start(test: &str, path: &Path, name: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", test])
            .env(PATH, path)
            .env(NAME, name)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// What the child says it has stored, as it says it.
    fn stored(&mut self) -> impl Iterator<Item = usize> + use<> {
        let lines = BufReader::new(self.0.stdout.take().unwrap()).lines().map_while(Result::ok);
        lines.filter_map(|line| line.split("stored ").nth(1).map(|number| number.parse().unwrap()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn told() -> (PathBuf, String) {
    (std::env::var_os(PATH).unwrap().into(), std::env::var(NAME).unwrap())
}

#[test]
#[ignore = "a child of the tests below"]
fn child_that_writes_for_ever() {
    let (path, name) = told();
    let cache = open(&path);
    // Others write as well, so that the kill meets a commit of several entries.
    for number in 0..4 {
        let (cache, name) = (cache.clone(), format!("{name} beside {number}"));
        std::thread::spawn(move || (0..usize::MAX).for_each(|number| put(&cache, &name, number)));
    }
    for number in 0.. {
        put(&cache, &name, number);
        println!("stored {number}");
    }
}

#[test]
#[ignore = "a child of the tests below"]
fn child_that_writes_its_share() {
    let (path, name) = told();
    let cache = open(&path);
    for number in 0..ENTRIES_A_CHILD {
        put(&cache, &name, number);
        println!("stored {number}");
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let folder = Folder::new();
    for round in 0..KILLS {
        let name = format!("round {round}");
        let mut child = Running::start("child_that_writes_for_ever", &folder.file(), &name);
        let mut stored = child.stored();
        stored.by_ref().find(|number| *number >= 50 + 20 * round).expect("the child writes");
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        let last = stored.last().unwrap_or(50 + 20 * round);
        assert_kept(&folder.file(), &name, 0..last + 1);
    }
    for round in 0..KILLS {
        assert_kept(&folder.file(), &format!("round {round}"), 0..50 + 20 * round);
    }
    let names: Vec<_> = std::fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap()).collect();
    assert!(names.iter().all(|entry| !entry.file_name().to_string_lossy().contains("corrupt")));
}

#[test]
fn processes_that_write_at_once_lose_nothing() {
    let folder = Folder::new();
    let names = ["one", "two", "three"];
    let mut children = names.map(|name| {
        let mut child = Running::start("child_that_writes_its_share", &folder.file(), name);
        let stored = child.stored();
        (child, stored)
    });
    for (child, stored) in &mut children {
        assert_eq!(stored.count(), ENTRIES_A_CHILD);
        assert!(child.0.wait().unwrap().success());
    }
    for name in names {
        assert_kept(&folder.file(), name, 0..ENTRIES_A_CHILD);
    }
}

#[test]
fn a_file_cut_short_is_set_aside_and_the_next_process_starts_anew() {
    let folder = Folder::new();
    let write = |name: &str| {
        let mut child = Running::start("child_that_writes_its_share", &folder.file(), name);
        assert_eq!(child.stored().count(), ENTRIES_A_CHILD);
        assert!(child.0.wait().unwrap().success());
    };
    write("before");
    // The child ended without closing, so most of it may still be in the log.
    let connection = rusqlite::Connection::open(folder.file()).unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(connection);
    let file = std::fs::OpenOptions::new().write(true).open(folder.file()).unwrap();
    let length = file.metadata().unwrap().len();
    assert!(length > 100_000, "{length} bytes");
    file.set_len(length / 3).unwrap();
    drop(file);
    write("after");
    assert_kept(&folder.file(), "after", 0..ENTRIES_A_CHILD);
    let aside = std::fs::read_dir(&folder.0).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("answers.cache.corrupt-")
    });
    assert_eq!(aside.count(), 1);
}

/// Runs `work` in a forked child, which gets ten seconds.
#[cfg(unix)]
#[expect(unsafe_code, reason = "forking is a C call")]
fn in_a_fork(work: impl FnOnce() -> bool) -> bool {
    // SAFETY: what runs in the child takes none of the parent's locks; that is what is tested.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        // SAFETY: ends the child without the parent's exit handlers.
        unsafe { libc::_exit(i32::from(!matches!(outcome, Ok(true)))) };
    }
    let started = Instant::now();
    let mut status = 0;
    loop {
        // SAFETY: `child` is ours and `status` is a valid place.
        match unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } {
            0 if started.elapsed() > Duration::from_secs(10) => {
                // SAFETY: it has not been waited for, so the number is still the child's.
                unsafe { libc::kill(child, libc::SIGKILL) };
                panic!("the forked child hangs");
            }
            0 => std::thread::sleep(Duration::from_millis(5)),
            _ => return status == 0,
        }
    }
}

#[cfg(unix)]
fn get(cache: &Cache, name: &str, number: usize) -> Option<Bytes> {
    let (cache, key) = (cache.clone(), key(name, number));
    runtime::block_on(async move { Ok(cache.get(&key).await) }).unwrap()
}

#[cfg(unix)]
#[test]
fn a_child_forked_before_the_first_use_shares_the_file() {
    let folder = Folder::new();
    runtime::start().unwrap();
    let cache = open(&folder.file());
    assert!(in_a_fork(|| {
        put(&cache, "child", 1);
        get(&cache, "child", 1) == Some(value("child", 1))
    }));
    assert_eq!(get(&cache, "child", 1), Some(value("child", 1)));
}

#[cfg(unix)]
#[test]
fn a_child_forked_while_the_parent_writes_does_without_the_file() {
    let folder = Folder::new();
    let cache = open(&folder.file());
    put(&cache, "parent", 0);
    let busy = cache.clone();
    std::thread::spawn(move || (1..usize::MAX).for_each(|number| put(&busy, "parent", number)));
    for number in 0..20 {
        assert!(in_a_fork(|| {
            // Nothing inherited, the file refused; in memory everything works.
            let unknown = get(&cache, "parent", 0).is_none();
            put(&cache, "child", number);
            unknown && get(&cache, "child", number) == Some(value("child", number))
        }));
    }
    put(&cache, "after", 1);
    assert_kept(&folder.file(), "after", 1..2);
}
