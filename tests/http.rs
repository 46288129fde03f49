//! The transport on the wire, against a server that sends exactly the bytes a test wants.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use graphbit::http::{Auth, Endpoint, Settings, Timeouts};
use graphbit::runtime;
use graphbit::secret::ApiKey;
use graphbit::{Kind, Result};

/// Calls `answer` with each request (head and body) and its connection, on a thread a connection.
fn serve(answer: impl Fn(&str, &mut TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || {
                while let Some(request) = read_request(&mut stream) {
                    answer(&request, &mut stream);
                }
            });
        }
    });
    url
}

fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some(head) = text.find("\r\n\r\n") {
            let length = text.split("content-length: ").nth(1);
            let length = length.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
            if bytes.len() >= head + 4 + length {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

fn respond(stream: &mut TcpStream, head: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
}

fn chunk(stream: &mut TcpStream, text: &str) {
    let _ = stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes());
}

const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nx-request-id: r1\r\ntransfer-encoding: chunked\r\n\r\n";

fn endpoint(url: &str, settings: &Settings) -> Endpoint {
    Endpoint::new("openai", url, Auth::Bearer(ApiKey::new("sk-hunter2")), settings).unwrap()
}

fn post(endpoint: &Endpoint) -> Result<graphbit::http::Reply> {
    let endpoint = endpoint.clone();
    runtime::block_on(async move { endpoint.post("{}".into()).await })
}

fn limits(milliseconds: u64) -> Settings {
    let limit = Duration::from_millis(milliseconds);
    let timeouts = Timeouts { total: limit, first_byte: limit, idle: limit, ..Timeouts::default() };
    Settings { timeouts, ..Settings::default() }
}

/// Everything a stream yields until its end, texts and the error separately.
fn collect(endpoint: Endpoint) -> (String, Option<graphbit::Error>) {
    runtime::block_on(async move {
        let mut stream = endpoint.open("{}".into()).await?;
        let (mut text, mut failure) = (Vec::new(), None);
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => text.extend_from_slice(&piece),
                Err(error) => failure = Some(error),
            }
        }
        assert!(stream.next().await.is_none(), "a stream ends once");
        Ok((String::from_utf8(text).unwrap(), failure))
    })
    .unwrap()
}

#[test]
fn requests_carry_the_headers_and_reuse_the_connection() {
    let url = serve(|request, stream| {
        let port = stream.peer_addr().unwrap().port();
        respond(stream, "200 OK\r\nrequest-id: r7", format!("{port}\n{request}").as_bytes());
    });
    let settings = Settings {
        headers: vec![("User-Agent".into(), "mine".into()), ("x-team".into(), "blue".into())],
        ..Settings::default()
    };
    let endpoint = endpoint(&format!("{url}/v1/x?q=1"), &settings);
    let first = post(&endpoint).unwrap();
    assert_eq!((first.status, first.request_id().as_deref()), (200, Some("r7")));
    let text = String::from_utf8(first.body.to_vec()).unwrap().to_ascii_lowercase();
    for part in [
        "post /v1/x?q=1 http/1.1\r\n",
        "authorization: bearer sk-hunter2\r\n",
        "content-type: application/json\r\n",
        "user-agent: mine\r\n",
        "x-team: blue\r\n",
        "accept-encoding: gzip\r\n",
        "\r\n\r\n{}",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let port = |body: &[u8]| body.split(|&byte| byte == b'\n').next().unwrap().to_vec();
    assert_eq!(port(&first.body), port(&post(&endpoint).unwrap().body));
}

#[test]
fn a_user_in_the_url_becomes_basic_authorization() {
    let url = serve(|request, stream| respond(stream, "200 OK", request.as_bytes()));
    let url = url.replace("http://", "http://us%40er:pa%3Ass@");
    let endpoint = Endpoint::new("ollama", &url, Auth::None, &Settings::default()).unwrap();
    let got = runtime::block_on(async move { endpoint.get().await }).unwrap();
    let text = String::from_utf8(got.body.to_vec()).unwrap();
    assert!(text.starts_with("GET / HTTP/1.1"), "{text}");
    assert!(text.contains("authorization: Basic dXNAZXI6cGE6c3M="), "{text}");
    assert!(!text.contains("content-type"), "{text}");
}

#[test]
fn compressed_and_chunked_answers_arrive_whole() {
    // gzip of {"answer":42}
    const PACKED: [u8; 33] = [
        31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 74, 204, 43, 46, 79, 45, 82, 178, 50, 49, 170, 5,
        0, 245, 101, 217, 204, 13, 0, 0, 0,
    ];
    let url = serve(|request, stream| {
        if request.contains("/gzip") {
            respond(stream, "200 OK\r\ncontent-encoding: gzip", &PACKED);
        } else {
            stream.write_all(STREAM_HEAD).unwrap();
            for part in ["{\"answer\"", ":4", "2", "}", ""] {
                chunk(stream, part);
            }
        }
    });
    for path in ["gzip", "chunked"] {
        let reply = post(&endpoint(&format!("{url}/{path}"), &Settings::default())).unwrap();
        let answer: serde_json::Value = reply.json().unwrap();
        assert_eq!(answer["answer"], 42, "{path}");
        let wrong = reply.json::<Vec<u8>>().unwrap_err();
        assert_eq!(wrong.kind(), Kind::Decode);
        let start = "Failed to parse response: error decoding response body: invalid type";
        assert!(wrong.message().starts_with(start), "{wrong}");
    }
}

#[test]
fn a_named_proxy_is_asked_and_an_empty_one_is_none() {
    let url = serve(|request, stream| respond(stream, "200 OK", request.as_bytes()));
    let with = |proxy: &str, url: &str| {
        let settings = Settings { proxy: Some(proxy.into()), ..Settings::default() };
        let body = post(&endpoint(url, &settings)).unwrap().body;
        String::from_utf8(body.to_vec()).unwrap()
    };
    let request = with(&url.replace("//", "//u:p@"), "http://nowhere.invalid/v1");
    assert!(request.starts_with("POST http://nowhere.invalid/v1 HTTP/1.1"), "{request}");
    assert!(request.contains("proxy-authorization: Basic dTpw"), "{request}");
    assert!(with("", &url).starts_with("POST / HTTP/1.1"));
}

#[test]
fn transport_failures_name_the_address_and_the_cause() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://u:hunter3@{closed}/v1?key=hunter4");
    let error = post(&endpoint(&url, &Settings::default())).unwrap_err();
    assert_eq!(error.kind(), Kind::Network);
    let start = format!("Request failed: error sending request for url (http://{closed}/v1): ");
    assert!(error.message().starts_with(&start), "{error}");
    assert!(error.message().contains("refused"), "{error}");
    let debug = format!("{error:?} {:?}", std::error::Error::source(&error).unwrap());
    assert!(!debug.contains("hunter"), "{debug}");

    let silent = serve(|_, _| thread::sleep(Duration::from_secs(5)));
    let error = post(&endpoint(&silent, &limits(50))).unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(error.message().ends_with("timed out after 0.05s"), "{error}");

    let broken = serve(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort").unwrap();
        stream.shutdown(std::net::Shutdown::Both).unwrap();
    });
    let error = post(&endpoint(&broken, &Settings::default())).unwrap_err();
    assert_eq!(error.kind(), Kind::Network, "{error}");

    let plain = serve(|_, stream| respond(stream, "200 OK", b""));
    let url = plain.replace("http://", "https://");
    let error = post(&endpoint(&url, &limits(2000))).unwrap_err();
    assert!(matches!(error.kind(), Kind::Network | Kind::Timeout), "{error}");
}

#[test]
fn an_answer_that_announces_too_much_is_refused_at_once() {
    let url = serve(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n").unwrap();
    });
    let error = post(&endpoint(&url, &Settings::default())).unwrap_err();
    assert_eq!(error.kind(), Kind::Decode);
    assert!(error.message().contains("larger than 512 MiB"), "{error}");
}

#[test]
fn a_refusal_keeps_the_beginning_of_a_stalled_body() {
    let url = serve(|_, stream| {
        stream.write_all(b"HTTP/1.1 400 Bad\r\ncontent-length: 50\r\n\r\nbecause").unwrap();
        stream.shutdown(std::net::Shutdown::Both).unwrap();
    });
    let error = post(&endpoint(&url, &Settings::default())).unwrap_err();
    assert_eq!((error.status(), error.message()), (Some(400), "because"));
}

#[test]
fn a_stream_arrives_piece_by_piece_and_may_outlast_the_total_limit() {
    let url = serve(|request, stream| {
        assert!(request.to_ascii_lowercase().contains("accept-encoding: identity"), "{request}");
        stream.write_all(STREAM_HEAD).unwrap();
        for _ in 0..6 {
            chunk(stream, "data: x\n\n");
            thread::sleep(Duration::from_millis(60));
        }
        chunk(stream, "");
    });
    let (text, failure) = collect(endpoint(&url, &limits(200)));
    assert_eq!(text, "data: x\n\n".repeat(6));
    assert!(failure.is_none(), "{failure:?}");
}

#[test]
fn a_stream_that_stalls_or_breaks_says_so() {
    let stalls = serve(|_, stream| {
        stream.write_all(STREAM_HEAD).unwrap();
        chunk(stream, "data: x\n\n");
        thread::sleep(Duration::from_secs(5));
    });
    let (text, failure) = collect(endpoint(&stalls, &limits(100)));
    let failure = failure.unwrap();
    assert_eq!((text.as_str(), failure.kind()), ("data: x\n\n", Kind::Stream));
    let expected = "Stream timeout after 0.1s - response may be incomplete";
    assert_eq!(failure.message(), expected);
    assert_eq!(failure.request_id(), Some("r1"));

    let breaks = serve(|_, stream| {
        stream.write_all(STREAM_HEAD).unwrap();
        chunk(stream, "data: x\n\n");
        stream.shutdown(std::net::Shutdown::Both).unwrap();
    });
    let (text, failure) = collect(endpoint(&breaks, &Settings::default()));
    let failure = failure.unwrap();
    assert_eq!((text.as_str(), failure.kind()), ("data: x\n\n", Kind::Stream));
    assert!(failure.message().starts_with("Stream error: error decoding response body: "));
}

#[test]
fn a_stream_that_never_begins_is_a_timeout_and_a_refused_one_keeps_its_status() {
    let open = |endpoint: Endpoint| {
        runtime::block_on(async move { endpoint.open("{}".into()).await }).unwrap_err()
    };
    let silent = serve(|_, _| thread::sleep(Duration::from_secs(5)));
    let error = open(endpoint(&silent, &limits(50)));
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(error.message().starts_with("Connection timeout after 0.05s - openai"), "{error}");
    let refuses = serve(|_, stream| respond(stream, "401 No", b"who is sk-hunter2?"));
    let error = open(endpoint(&refuses, &Settings::default()));
    assert_eq!((error.kind(), error.message()), (Kind::Authentication, "who is ***?"));
}

#[test]
fn dropping_a_stream_closes_its_connection() {
    let (closed, seen): (Sender<()>, Receiver<()>) = channel();
    let url = serve(move |_, stream| {
        stream.write_all(STREAM_HEAD).unwrap();
        chunk(stream, "data: x\n\n");
        if matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)) {
            let _ = closed.send(());
        }
    });
    let endpoint = endpoint(&url, &Settings::default());
    runtime::block_on(async move {
        let mut stream = endpoint.open("{}".into()).await?;
        stream.next().await.unwrap()?;
        Ok(())
    })
    .unwrap();
    seen.recv_timeout(Duration::from_secs(5)).unwrap();
}
