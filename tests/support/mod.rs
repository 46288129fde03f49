//! Starts the provider simulator for Rust integration tests and reads its log.
//!
//! The process ends with the [`Simulator`] value, or with the test process. Use a scope of its own
//! for every test: tests of one file share the process they run in. It refuses to build the binary;
//! a missing one is reported with the command that makes it.
//!
//! ```ignore
//! mod support;
//! let simulator = support::Simulator::start();
//! simulator.behaviour("mine", &serde_json::json!({"latency_ms": 50}));
//! let base_url = format!("{}/v1", simulator.url("mine"));
//! ```

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support: a failure here is a failed test, and not every file uses all of it"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

const BINARY: &str = if cfg!(windows) { "graphbit-simulator.exe" } else { "graphbit-simulator" };

/// A running simulator.
pub(crate) struct Simulator {
    process: Child,
    address: String,
}

impl Simulator {
    /// Starts the newest build of the simulator on a free loopback port.
    pub(crate) fn start() -> Self {
        let binary = find_binary();
        let mut process = Command::new(&binary)
            .args(["--port", "0"])
            .stdin(Stdio::piped()) // its end tells the server that we are gone
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", binary.display()));
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").map(str::to_owned);
        let address = address.unwrap_or_else(|| panic!("the simulator said {line:?}"));
        Self { process, address }
    }

    /// Base address of a scope, without a trailing slash; `""` is the root scope.
    pub(crate) fn url(&self, scope: &str) -> String {
        format!("http://{}{}", self.address, prefix(scope))
    }

    /// Replaces a scope's behaviour; the settings are listed in the server's `behaviour.rs`.
    pub(crate) fn behaviour(&self, scope: &str, settings: &Value) {
        self.call("POST", scope, "behaviour", &settings.to_string());
    }

    /// Back to plain behaviour, an empty log and zero counters.
    pub(crate) fn reset(&self, scope: &str) {
        self.call("POST", scope, "reset", "");
    }

    /// The scope's requests, oldest first, unfinished ones included.
    pub(crate) fn log(&self, scope: &str) -> Vec<Value> {
        serde_json::from_str(&self.call("GET", scope, "log", "")).unwrap()
    }

    /// The scope's counters.
    pub(crate) fn stats(&self, scope: &str) -> Value {
        serde_json::from_str(&self.call("GET", scope, "stats", "")).unwrap()
    }

    /// One control request by hand: no client under test may be involved.
    fn call(&self, method: &str, scope: &str, verb: &str, body: &str) -> String {
        let mut wire = TcpStream::connect(&self.address).unwrap();
        wire.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let (path, length) = (prefix(scope), body.len());
        write!(
            wire,
            "{method} {path}/control/{verb} HTTP/1.1\r\nhost: simulator\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut reply = String::new();
        wire.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").expect("a whole HTTP reply");
        assert!(head.starts_with("HTTP/1.1 2"), "{method} {verb} was refused: {body}");
        body.to_owned()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn prefix(scope: &str) -> String {
    if scope.is_empty() { String::new() } else { format!("/s/{scope}") }
}

/// `GRAPHBIT_SIMULATOR`, else the newest binary of this workspace's target directories.
fn find_binary() -> PathBuf {
    if let Some(named) = std::env::var_os("GRAPHBIT_SIMULATOR") {
        return PathBuf::from(named);
    }
    let mut targets = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("target")];
    targets.extend(std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from));
    let built = |path: &PathBuf| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    targets
        .iter()
        .flat_map(|target| ["release", "quick", "debug"].map(|kind| target.join(kind).join(BINARY)))
        .filter_map(|path| built(&path).map(|time| (time, path)))
        .max()
        .map_or_else(
            || panic!("no {BINARY}; build it with: cargo build --package graphbit-simulator"),
            |(_, path)| path,
        )
}
