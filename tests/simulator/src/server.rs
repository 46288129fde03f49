//! Connections and requests: accept, route, wait, answer, or misbehave below HTTP.
//!
//! Every server thread runs its own single-threaded runtime on the same listening socket, so the
//! fast path shares nothing but counters. A client that goes away drops the request's future, and
//! with it the ticket that notes the disconnect.
//!
//! ```text
//! server::serve(&server::listen(0)?, 1, &scopes)   // never returns while the process lives
//! ```

use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};

use crate::answer::{Answer, Ending, Packets};
use crate::behaviour::{Decision, Fault, header_pairs, text_of};
use crate::control;
use crate::dialect;
use crate::log::Entry;
use crate::scope::{Scope, Scopes, Ticket};
use crate::timer;
use crate::wire::{Farewell, Parting, Wire};

/// A body that calls itself JSON and is nothing of the kind, nor UTF-8.
const GARBAGE: &[u8] = b"\x00\xff\xfe{{{ not json \x80\xc3";
/// What a captive portal or a proxy's error page looks like to a client.
const PAGE: &[u8] =
    b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in.</body></html>";

type Reply = Response<Either<Packets, Full<Bytes>>>;

/// Binds the loopback address; port 0 takes a free one.
pub(crate) fn listen(port: u16) -> io::Result<std::net::TcpListener> {
    runtime()?.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
        // A thousand clients connect at once; a short queue would cost them a SYN retry of 1 s.
        socket.listen(4096)?.into_std()
    })
}

/// Serves for ever on `threads` threads.
pub(crate) fn serve(
    listener: &std::net::TcpListener,
    threads: usize,
    scopes: &Arc<Scopes>,
) -> io::Result<()> {
    let mut serving = Vec::new();
    for _ in 0..threads {
        let listener = listener.try_clone()?;
        let scopes = Arc::clone(scopes);
        serving.push(std::thread::spawn(move || {
            runtime()?.block_on(async { accept(&TcpListener::from_std(listener)?, &scopes).await })
        }));
    }
    for thread in serving {
        thread.join().map_err(|_| io::Error::other("a server thread panicked"))??;
    }
    Ok(())
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()
}

async fn accept(listener: &TcpListener, scopes: &Arc<Scopes>) -> io::Result<()> {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
    loop {
        // Out of file descriptors, or gone before we looked: neither ends the server.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let connection = Arc::new(Connection {
            number: CONNECTIONS.fetch_add(1, Relaxed),
            scopes: Arc::clone(scopes),
            seen: Mutex::default(),
            farewell: Farewell::default(),
        });
        let wire = TokioIo::new(Wire::new(stream, connection.farewell.clone()));
        let service = service_fn(move |request| answer(Arc::clone(&connection), request));
        let served = hyper::server::conn::http1::Builder::new().serve_connection(wire, service);
        tokio::spawn(async move {
            // How it ended is in the log; there is nobody else to tell.
            let _ = served.await;
        });
    }
}

/// What requests on one connection share.
struct Connection {
    number: u64,
    scopes: Arc<Scopes>,
    /// Scopes that count this connection.
    seen: Mutex<Vec<Arc<Scope>>>,
    farewell: Farewell,
}

impl Connection {
    fn count_in(&self, scope: &Arc<Scope>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.iter().any(|known| Arc::ptr_eq(known, scope)) {
            scope.stats.connections_open.fetch_add(1, Relaxed);
            scope.stats.connections_total.fetch_add(1, Relaxed);
            seen.push(Arc::clone(scope));
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        for scope in self.seen.get_mut().unwrap_or_else(PoisonError::into_inner) {
            scope.stats.connections_open.fetch_sub(1, Relaxed);
        }
    }
}

async fn answer(connection: Arc<Connection>, request: Request<Incoming>) -> io::Result<Reply> {
    let started = Instant::now();
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let Some((scope, path)) = connection.scopes.find(head.uri.path()) else {
        let refusal = control::refuse(StatusCode::SERVICE_UNAVAILABLE, "too many scopes");
        return Ok(refusal.map(Either::Right));
    };
    if let Some(verb) = path.strip_prefix("/control/") {
        let reply = control::answer(&connection.scopes, &scope, &head.method, verb, &body);
        return Ok(reply.map(Either::Right));
    }
    connection.count_in(&scope);
    let defaults = connection.scopes.defaults;
    let behaviour = scope.behaviour();
    let mut due = Instant::now() + behaviour.latency(defaults.latency_ms);
    let host = head.headers.get(HOST).cloned();
    let entry = defaults.log.then(|| Entry {
        method: head.method.to_string(),
        path: match head.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        },
        headers: head.headers,
        body: body.clone(),
        started,
        connection: connection.number,
    });
    let mut ticket = Ticket::open(Arc::clone(&scope), entry, started);
    let settings = &behaviour.settings;
    let decision = behaviour.decide(&body);
    let too_many = StatusCode::TOO_MANY_REQUESTS;
    if settings.rate_limit.is_some()
        && matches!(decision, Decision::Refuse { status, .. } if status == too_many)
    {
        due = Instant::now();
    }

    let fault = match &decision {
        Decision::Fault(fault) => Some(*fault),
        _ => None,
    };
    let (answer, headers) = match decision {
        Decision::Fault(Fault::Hang) => std::future::pending().await,
        Decision::Fault(Fault::Reset) => {
            wait_until(due).await;
            ticket.finish();
            connection.farewell.set(Parting::Reset);
            return Err(io::Error::other("reset on purpose"));
        }
        Decision::Fault(Fault::SlowHeaders) => {
            wait_until(due).await;
            connection.farewell.set(Parting::SlowHead(ticket));
            return Err(io::Error::other("headers without end"));
        }
        Decision::Raw => {
            wait_until(due).await;
            ticket.finish();
            let raw = settings.raw.clone().unwrap_or_default();
            connection.farewell.set(Parting::Bytes(raw.into()));
            return Err(io::Error::other("raw bytes instead of HTTP"));
        }
        Decision::Refuse { status, body, headers } => {
            let body = body.unwrap_or_else(|| dialect::error_text(path, status));
            let extra = header_pairs(&headers).unwrap_or_default();
            (Answer::document(status, crate::answer::JSON, body.into_bytes()), extra)
        }
        Decision::Fault(Fault::Malformed) => {
            let broken = br#"{"id": "broken", "choices": [{"index": 0, "mess"#;
            (Answer::json(broken.to_vec()), Vec::new())
        }
        Decision::Fault(Fault::Garbage) => (Answer::json(GARBAGE.to_vec()), Vec::new()),
        Decision::Fault(Fault::Html) => {
            (Answer::document(StatusCode::OK, "text/html", PAGE.to_vec()), Vec::new())
        }
        Decision::Answer
        | Decision::Fault(Fault::Truncate | Fault::ResetInBody | Fault::HangInBody) => {
            let reply = dialect::reply(path, &body, settings);
            let answer = match (&settings.body, reply) {
                (Some(scripted), _) => dialect::scripted(text_of(scripted)),
                (None, Some((answer, delay))) => {
                    due += delay;
                    answer
                }
                (None, None) => {
                    let place = dialect::Place {
                        host: host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or_default(),
                        prefix: head.uri.path().strip_suffix(path).unwrap_or_default(),
                        predictions: &scope.predictions,
                    };
                    let dimensions = defaults.dimensions;
                    dialect::answer(&head.method, path, &body, settings, dimensions, &place)
                }
            };
            (answer, Vec::new())
        }
    };
    wait_until(due).await;

    if fault.is_some() {
        ticket.spoil();
    }
    ticket.set_status(answer.status.as_u16());
    let status = answer.status;
    let content_type = HeaderValue::from_static(answer.content_type);
    let ending = match fault {
        Some(Fault::Truncate) => Ending::Short,
        Some(Fault::ResetInBody) => Ending::Reset(connection.farewell.clone()),
        Some(Fault::HangInBody) => Ending::Never,
        _ => Ending::Whole,
    };
    let packets = answer.into_body(settings, ending, ticket);
    let mut response = Response::new(Either::Left(packets));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert("x-request-id", request_id());
    for (name, value) in behaviour.headers.iter().cloned().chain(headers) {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

async fn wait_until(due: Instant) {
    if due > Instant::now() {
        timer::sleep_until(due).await;
    }
}

fn request_id() -> HeaderValue {
    static REQUESTS: AtomicU64 = AtomicU64::new(1);
    let number = REQUESTS.fetch_add(1, Relaxed);
    let text = Bytes::from(format!("req-{number}"));
    HeaderValue::from_maybe_shared(text).unwrap_or(HeaderValue::from_static("req-0"))
}
