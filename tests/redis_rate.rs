//! A rate limit that processes share: against a `redis-server` of the test's own, in processes of its
//! own, by the real clock.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use graphbit::resilience::{RateLimit, RateSettings, RedisSettings};
use graphbit::runtime;
use graphbit::secret::ApiKey;

/// Tells the process that it is one of several: the address, what to spend, when to begin.
const ROLE: &str = "GRAPHBIT_TEST_RATE_ROLE";
const PASSWORD: &str = "hunter2-of-redis";
/// How long the processes spend.
const SPAN: Duration = Duration::from_secs(6);

/// A server in a folder of its own, reached by a port and by a socket. It ends with the value.
struct Server {
    process: Child,
    port: u16,
    folder: PathBuf,
}

impl Server {
    fn start() -> Self {
        // Asking for any free port and closing it again: the server cannot be told to choose.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = std::env::temp_dir().join(format!("graphbit-redis-{port}"));
        std::fs::create_dir_all(&folder).unwrap();
        Self { process: run(port, &folder), port, folder }
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.process = run(self.port, &self.folder);
    }

    /// Sends the process a signal by its name.
    fn signal(&self, name: &str) {
        let process = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &process]).status().unwrap().success());
    }

    fn url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}/3", self.port)
    }

    /// The answer to one command in the database that the limits are kept in.
    fn ask(&self, command: &str) -> String {
        let mut wire = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        wire.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(wire, "AUTH {PASSWORD}\r\nSELECT 3\r\n{command}\r\nQUIT\r\n").unwrap();
        let mut answer = String::new();
        wire.read_to_string(&mut answer).unwrap();
        answer.lines().nth(2).unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Starts the server and waits until it listens.
fn run(port: u16, folder: &std::path::Path) -> Child {
    let process = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--requirepass", PASSWORD])
        .args(["--unixsocket", "redis.sock", "--save", "", "--appendonly", "no", "--dir"])
        .arg(folder)
        .current_dir(folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "cannot run redis-server ({error}); get it with `make redis` as root, or \
                 `apt-get install redis-server`"
            )
        });
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "redis-server does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    process
}

fn limit(url: &str, name: &str, requests: Option<f64>, tokens: Option<f64>) -> RateLimit {
    RateLimit::new(RateSettings {
        requests_per_minute: requests,
        tokens_per_minute: tokens,
        // So short that what was saved up hardly counts beside what comes in.
        burst: Duration::from_millis(100),
        redis: Some(RedisSettings { url: ApiKey::new(url), name: name.to_owned() }),
        ..RateSettings::default()
    })
    .unwrap()
}

/// Lets one request of `tokens` through, which uses `used` of them.
fn spend(limit: &RateLimit, tokens: u64, used: u64) {
    let limit = limit.clone();
    runtime::block_on(async move {
        limit.acquire(tokens).await.settle(Some(used));
        Ok(())
    })
    .unwrap();
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// What one process of several does: spends as fast as it may for [`SPAN`], and prints how many requests
/// that were. Four threads, so that there always is somebody in line.
#[test]
#[ignore = "started by the other tests"]
fn a_process_of_several() {
    let role = std::env::var(ROLE).unwrap();
    let [url, what, start] = role.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let limit = match what {
        "requests" => limit(url, what, Some(6_000.0), None),
        _ => limit(url, what, None, Some(1_200_000.0)),
    };
    let start = Duration::from_millis(start.parse().unwrap());
    let end = start + SPAN;
    std::thread::sleep(start.saturating_sub(since_1970()));
    let spent: u32 = std::thread::scope(|scope| {
        let spenders: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut spent = 0;
                    loop {
                        spend(&limit, 400, 200);
                        if since_1970() >= end {
                            return spent;
                        }
                        spent += 1;
                    }
                })
            })
            .collect();
        spenders.into_iter().map(|spender| spender.join().unwrap()).sum()
    });
    assert!(limit.snapshot().shared);
    println!("\nspent {spent}");
}

/// Two processes that spend at the same time: how many requests each got through.
fn two_processes(server: &Server, what: &str) -> [u32; 2] {
    let start = (since_1970() + Duration::from_millis(1_500)).as_millis();
    let role = format!("{} {what} {start}", server.url());
    let children = [(); 2].map(|()| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_process_of_several", "--ignored", "--nocapture"])
            .env(ROLE, &role)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    });
    children.map(|child| {
        let Output { status, stdout, .. } = watched(child);
        let said = String::from_utf8(stdout).unwrap();
        assert!(status.success(), "{said}");
        let spent = said.lines().find_map(|line| line.strip_prefix("spent ")).unwrap();
        spent.parse().unwrap()
    })
}

/// Waits for a process, and ends it if it hangs.
fn watched(mut child: Child) -> Output {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(40) {
            child.kill().unwrap();
            panic!("a process hangs");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

#[test]
fn two_processes_stay_within_a_shared_limit_and_use_it() {
    let server = Server::start();
    // 100 requests a second; 20,000 tokens a second at 200 for each request, twice as many estimated.
    for what in ["requests", "tokens"] {
        let spent = two_processes(&server, what);
        let total: u32 = spent.iter().sum();
        println!("{what}: {spent:?}, together {total} of 600");
        assert!(total <= 630, "{what}: {spent:?} exceed the limit of 600 by more than 5 %");
        assert!(total >= 540, "{what}: {spent:?} use less than 90 % of the limit of 600");
        assert!(spent.iter().all(|&one| one * 4 >= total), "{what}: {spent:?} is not fair");
    }
    let left: i64 =
        server.ask("PTTL graphbit:rate:tokens").trim_start_matches(':').parse().unwrap();
    assert!((1..=2_000).contains(&left), "the key goes away in {left} ms");
}

#[test]
fn a_cancelled_request_is_given_back_to_everybody() {
    let server = Server::start();
    let [one, other] = [(); 2].map(|()| limit(&server.url(), "n", Some(60.0), None));
    let started = Instant::now();
    runtime::block_on(async move {
        one.acquire(0).await.cancel();
        // Counted and told to wait; dropped while it waits.
        let held = other.acquire(0).await;
        let waiting = tokio::time::timeout(Duration::from_millis(200), one.acquire(0)).await;
        assert!(waiting.is_err());
        held.cancel();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let third = limit_of_its_own(&one);
        third.acquire(0).await.settle(None);
        Ok(())
    })
    .unwrap();
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
}

/// The same limit as another process would have it.
fn limit_of_its_own(limit: &RateLimit) -> RateLimit {
    RateLimit::new(limit.settings().clone()).unwrap()
}

#[test]
fn calls_go_on_without_the_server_and_share_again_with_it() {
    let log = Log::install();
    let mut server = Server::start();
    let limit = limit(&server.url(), "n", Some(60_000.0), None);
    spend(&limit, 0, 0);
    assert!(limit.snapshot().shared);

    server.stop();
    let started = Instant::now();
    for _ in 0..200 {
        spend(&limit, 0, 0);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(!limit.snapshot().shared);

    server.start_again();
    shared_again(&limit);
    spend(&limit, 0, 0);
    assert_eq!(server.ask("EXISTS graphbit:rate:n"), ":1", "asked again, and not only connected");

    // One that accepts and says nothing is left alone as well.
    server.signal("-STOP");
    let started = Instant::now();
    for _ in 0..200 {
        spend(&limit, 0, 0);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(!limit.snapshot().shared);
    server.signal("-CONT");
    shared_again(&limit);

    let said = log.about(&server);
    assert_eq!(said.matches("out of reach").count(), 2, "once each time: {said}");
    assert_eq!(said.matches("shared again").count(), 2, "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
}

fn shared_again(limit: &RateLimit) {
    let started = Instant::now();
    while !limit.snapshot().shared {
        assert!(started.elapsed() < Duration::from_secs(20), "the server was not found again");
        // A caller finds that it is time to look for the server, and does not wait for it.
        spend(limit, 0, 0);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_wrong_password_costs_the_sharing_and_not_the_calls() {
    let log = Log::install();
    let server = Server::start();
    let url = format!("redis://:not-{PASSWORD}@127.0.0.1:{}", server.port);
    let limit = limit(&url, "n", Some(6_000.0), None);
    spend(&limit, 0, 0);
    assert!(!limit.snapshot().shared);
    let said = log.about(&server);
    assert!(said.contains("out of reach"), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
}

#[cfg(unix)]
#[test]
fn a_socket_leads_to_the_same_limit() {
    let server = Server::start();
    let socket = server.folder.join("redis.sock");
    let url = format!("unix://{}?db=3&pass={PASSWORD}", socket.display());
    let [one, other] = [url, server.url()].map(|url| limit(&url, "n", Some(120.0), None));
    let started = Instant::now();
    for _ in 0..2 {
        spend(&one, 0, 0);
        spend(&other, 0, 0);
    }
    assert!(one.snapshot().shared && other.snapshot().shared);
    // One at once, and one every half a second.
    let took = started.elapsed();
    assert!((Duration::from_millis(1_450)..Duration::from_secs(4)).contains(&took), "{took:?}");
}

/// What is logged in this process, by whatever thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn install() -> Self {
        let log = Self::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        // One process may run several tests; the first one's log then serves them all.
        static INSTALLED: Mutex<Option<Log>> = Mutex::new(None);
        let mut installed = INSTALLED.lock().unwrap();
        if installed.is_none()
            && tracing::subscriber::set_global_default(subscriber.finish()).is_ok()
        {
            *installed = Some(log);
        }
        installed.clone().unwrap()
    }

    /// The lines that name the server's address.
    fn about(&self, server: &Server) -> String {
        let address = format!("127.0.0.1:{}", server.port);
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(&address)).collect::<Vec<_>>().join("\n")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
