//! `graphbit-simulator`: one process that plays the LLM providers over real HTTP.
//!
//! It answers chat, responses, embeddings and Ollama requests with deterministic text and vectors,
//! and misbehaves on demand: slow, failing, truncated, hanging, split at awkward bytes. Tests and
//! benchmarks start it on a free loopback port and steer it through `/control/...`.
//! It refuses to outlive its parent: it ends when its standard input closes.
//!
//! ```text
//! graphbit-simulator --port 0 --threads 1 --log on --dimensions 1536 --latency-ms 0 [--stay]
//! listening on 127.0.0.1:40123
//! curl -d '{"latency_ms": 50}' 127.0.0.1:40123/control/behaviour
//! ```

#![expect(
    clippy::disallowed_methods,
    reason = "the bans send callers to the library's doorways; this program does not link it"
)]

mod answer;
mod behaviour;
mod control;
mod dialect;
mod kept;
mod log;
mod scope;
mod server;
mod timer;
mod vectors;
mod wire;

use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::Arc;

use scope::{Defaults, Scopes};

/// What the command line says.
struct Arguments {
    port: u16,
    threads: usize,
    log: bool,
    stay: bool,
    dimensions: usize,
    latency_ms: f64,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed =
            Self { port: 0, threads: 1, log: true, stay: false, dimensions: 1536, latency_ms: 0.0 };
        while let Some(flag) = words.next() {
            if flag == "--stay" {
                parsed.stay = true;
                continue;
            }
            let value = words.next().ok_or(format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--port" => parsed.port = number(&flag, &value)?,
                "--threads" => parsed.threads = number::<usize>(&flag, &value)?.max(1),
                "--dimensions" => parsed.dimensions = number::<usize>(&flag, &value)?.max(1),
                "--latency-ms" => parsed.latency_ms = number::<f64>(&flag, &value)?.max(0.0),
                "--log" if value == "on" || value == "off" => parsed.log = value == "on",
                "--log" => return Err(format!("--log is on or off, not {value:?}")),
                _ => return Err(format!("unknown flag {flag}")),
            }
        }
        Ok(parsed)
    }
}

fn number<T: std::str::FromStr>(flag: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{flag} takes a number, not {value:?}"))
}

fn main() -> ExitCode {
    let outcome = Arguments::parse(std::env::args().skip(1)).and_then(|arguments| {
        let stay = arguments.stay;
        let scopes = Arc::new(Scopes::new(Defaults {
            log: arguments.log,
            dimensions: arguments.dimensions,
            latency_ms: arguments.latency_ms,
        }));
        let listener = server::listen(arguments.port).map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let mut out = std::io::stdout();
        writeln!(out, "listening on {address}")
            .and_then(|()| out.flush())
            .map_err(|error| error.to_string())?;
        if !stay {
            std::thread::spawn(end_with_standard_input);
        }
        server::serve(&listener, arguments.threads, &scopes).map_err(|error| error.to_string())
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "graphbit-simulator: {message}");
            ExitCode::FAILURE
        }
    }
}

/// A parent that crashed or was killed still closes the pipe, so no server is left behind.
fn end_with_standard_input() {
    let mut scrap = [0; 256];
    while matches!(std::io::stdin().read(&mut scrap), Ok(1..)) {}
    std::process::exit(0);
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_are_read_and_wrong_ones_named() {
        let parsed = parse("--port 81 --threads 3 --log off --latency-ms 2.5 --stay").unwrap();
        assert!(parsed.port == 81 && parsed.threads == 3 && !parsed.log && parsed.stay);
        assert!((parsed.latency_ms - 2.5).abs() < 1e-9);
        for wrong in ["--port x", "--log maybe", "--nonsense 1", "--port"] {
            let flag = wrong.split(' ').next().unwrap();
            assert!(parse(wrong).err().unwrap().contains(flag));
        }
    }
}
