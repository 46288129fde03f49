//! `graphbit-floor`: the same chat requests as the benchmarks, by an HTTP library and nothing else.
//!
//! No retry, no breaker, no statistics, no JSON read: what remains is the cost no client of that library
//! can go below. It prints one line of JSON, as a workload does.
//!
//! ```text
//! graphbit-floor reqwest http://127.0.0.1:8000 --calls 50000 --concurrency 64 --workers 2
//! {"seconds": 1.2, "cpu_seconds": 1.1}
//! ```

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the bans send callers to the library's doorways; this program does not link it"
)]

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use cpu_time::ProcessTime;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

type Failure = Box<dyn Error + Send + Sync>;

const BODY: &[u8] = br#"{"messages":[{"role":"user","content":"Say hello."}],"model":"prod-chat"}"#;
const KEY: &str = "Bearer benchmark-key-0123456789";

/// What the command line says.
struct Arguments {
    library: String,
    url: String,
    calls: usize,
    concurrency: usize,
    workers: usize,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let library = words.next().ok_or("which library? reqwest or hyper")?;
        let url = words.next().ok_or("which address?")?;
        let mut parsed = Self { library, url, calls: 20_000, concurrency: 64, workers: 2 };
        while let Some(flag) = words.next() {
            let value = words.next().and_then(|value| value.parse().ok());
            let value: usize = value.ok_or(format!("{flag} needs a number"))?;
            match flag.as_str() {
                "--calls" => parsed.calls = value,
                "--concurrency" => parsed.concurrency = value.max(1),
                "--workers" => parsed.workers = value.max(1),
                _ => return Err(format!("unknown flag {flag}")),
            }
        }
        parsed.url.push_str("/v1/chat/completions");
        Ok(parsed)
    }
}

/// One of the libraries, with connections of its own.
#[derive(Clone)]
enum Library {
    Reqwest(reqwest::Client),
    Hyper(Box<HyperClient<HttpConnector, Full<Bytes>>>),
}

impl Library {
    fn named(name: &str) -> Result<Self, Failure> {
        match name {
            "reqwest" => Ok(Self::Reqwest(reqwest::Client::builder().no_proxy().build()?)),
            "hyper" => {
                let mut connector = HttpConnector::new();
                connector.set_nodelay(true);
                let client = HyperClient::builder(TokioExecutor::new()).build(connector);
                Ok(Self::Hyper(Box::new(client)))
            }
            other => Err(format!("no library {other}: reqwest or hyper").into()),
        }
    }

    /// One request; the answer's bytes are read and dropped.
    async fn call(&self, url: &str) -> Result<(), Failure> {
        let json = HeaderValue::from_static("application/json");
        match self {
            Self::Reqwest(client) => {
                let request = client.post(url).header(CONTENT_TYPE, json);
                let answer = request.header(AUTHORIZATION, KEY).body(BODY).send().await?;
                answer.error_for_status()?.bytes().await?;
            }
            Self::Hyper(client) => {
                let request = Request::post(url)
                    .header(CONTENT_TYPE, json)
                    .header(AUTHORIZATION, KEY)
                    .body(Full::new(Bytes::from_static(BODY)))?;
                let answer = client.request(request).await?;
                if !answer.status().is_success() {
                    return Err(format!("status {}", answer.status()).into());
                }
                answer.into_body().collect().await?;
            }
        }
        Ok(())
    }
}

/// Makes `calls` calls on `concurrency` tasks that take their work from one counter.
async fn many(library: &Library, arguments: &Arc<Arguments>, calls: usize) -> Result<(), Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..arguments.concurrency)
        .map(|_| {
            let (library, arguments, next) =
                (library.clone(), Arc::clone(arguments), Arc::clone(&next));
            tokio::spawn(async move {
                while next.fetch_add(1, Ordering::Relaxed) < calls {
                    library.call(&arguments.url).await?;
                }
                Ok::<(), Failure>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

fn measure(arguments: Arguments) -> Result<String, Failure> {
    let library = Library::named(&arguments.library)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.workers)
        .enable_all()
        .build()?;
    let arguments = Arc::new(arguments);
    runtime.block_on(async {
        // Opens the connections before the clock runs.
        many(&library, &arguments, arguments.concurrency.saturating_mul(20)).await?;
        let (start, cpu) = (Instant::now(), ProcessTime::now());
        many(&library, &arguments, arguments.calls).await?;
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu.elapsed().as_secs_f64());
        Ok(serde_json::json!({ "seconds": seconds, "cpu_seconds": cpu }).to_string())
    })
}

fn main() -> ExitCode {
    let outcome =
        Arguments::parse(std::env::args().skip(1)).map_err(Failure::from).and_then(measure);
    match outcome {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("graphbit-floor: {reason}");
            ExitCode::FAILURE
        }
    }
}
