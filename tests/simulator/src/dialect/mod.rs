//! The dialects: which path speaks which, and what they share.
//!
//! Paths are known by their ending, so `/v1/...`, Azure's `/openai/deployments/<name>/...` and any
//! other prefix work alike. Requests are read with borrowed, typed structures; nothing is parsed
//! that is not needed. Unknown paths are 404, broken requests 400, as a provider would answer.
//!
//! ```text
//! POST /openai/deployments/prod-chat/chat/completions?api-version=1  -> openai::chat
//! POST /api/chat                                                     -> ollama::chat
//! ```

mod anthropic;
mod cohere;
mod gemini;
mod ollama;
mod openai;
mod replicate;
mod replies;
mod tools;

use std::borrow::Cow;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer::{Answer, JSON};
use crate::behaviour::Settings;
pub(crate) use replicate::Predictions;
pub(crate) use replies::{Reply, answer as reply};

/// What an answer may have to know beside the request: where the scope is, and what it remembers.
pub(crate) struct Place<'a> {
    pub(crate) host: &'a str,
    pub(crate) prefix: &'a str,
    pub(crate) predictions: &'a Predictions,
}

/// Answers one provider request.
pub(crate) fn answer(
    method: &Method,
    path: &str,
    body: &[u8],
    settings: &Settings,
    dimensions: usize,
    place: &Place<'_>,
) -> Answer {
    let dimensions = settings.dimensions.unwrap_or(dimensions);
    let outcome = match method.as_str() {
        "POST" if path.ends_with("/chat/completions") => openai::chat(path, body, settings),
        "POST" if path.ends_with("/embeddings") => openai::embeddings(path, body, dimensions),
        "POST" if path.ends_with("/messages") => anthropic::messages(body, settings),
        "POST" if gemini::is_spoken_at(path) => gemini::answer(path, body, settings, dimensions),
        "POST" if path.ends_with("/responses") => openai::responses(body, settings),
        "POST" if path.ends_with("/api/chat") => ollama::chat(body, settings),
        "POST" if path.ends_with("/api/embed") => ollama::embed(body, dimensions),
        "POST" if path.ends_with("/v2/embed") => cohere::embed(body, dimensions),
        "POST" if path.ends_with("/api/pull") => ollama::pull(body),
        "GET" if path.ends_with("/api/tags") => Ok(ollama::tags(settings)),
        "GET" if path.ends_with("/models") => Ok(openai::models(settings)),
        "POST" if path.ends_with("/predictions") => replicate::create(path, body, settings, place),
        verb if path.contains("/predictions/") => replicate::existing(verb, path, settings, place),
        _ => Err((StatusCode::NOT_FOUND, format!("Unknown request URL: {method} {path}"))),
    };
    outcome.unwrap_or_else(|(status, message)| {
        Answer::document(status, JSON, error_body(path, status, &message).into_bytes())
    })
}

/// The body of a simulated failure.
pub(crate) fn error_text(path: &str, status: StatusCode) -> String {
    error_body(path, status, &format!("simulated failure {}", status.as_u16()))
}

/// A scripted body; what looks like a stream is sent as one, a frame a packet.
pub(crate) fn scripted(text: String) -> Answer {
    if !(text.starts_with("data:") || text.starts_with("event:") || text.starts_with(':')) {
        return Answer::json(text.into_bytes());
    }
    let mut frames = Vec::new();
    let mut rest = Bytes::from(text);
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\n\n") {
        frames.push(rest.split_to(end + 2));
    }
    if !rest.is_empty() {
        frames.push(rest);
    }
    Answer::stream("text/event-stream", frames)
}

/// Why a request is refused.
type Refusal = (StatusCode, String);

fn error_body(path: &str, status: StatusCode, message: &str) -> String {
    if path.contains("/api/") {
        return serde_json::json!({ "error": message }).to_string();
    }
    if path.ends_with("/messages") {
        return anthropic::error_body(status, message);
    }
    if gemini::is_spoken_at(path) {
        return gemini::error_body(status, message);
    }
    let kind = match status.as_u16() {
        401 | 403 => "authentication_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    let error =
        serde_json::json!({ "message": message, "type": kind, "param": null, "code": null });
    serde_json::json!({ "error": error }).to_string()
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    let unreadable = |error| (StatusCode::BAD_REQUEST, format!("could not read the body: {error}"));
    serde_json::from_slice(body).map_err(unreadable)
}

/// One message of a chat, its content still as it came.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// Words of all messages, and the text that echoes the last user message.
fn read_messages(messages: &[Message<'_>]) -> (usize, String) {
    let mut words = 0;
    let mut last = Cow::Borrowed("");
    for message in messages {
        let content = message.content.map(content_text).unwrap_or_default();
        words += count_words(&content);
        if message.role == "user" {
            last = content;
        }
    }
    (words, format!("echo: {last}"))
}

/// Message content: text, or the text parts of a list.
fn content_text(raw: &RawValue) -> Cow<'_, str> {
    #[derive(Deserialize)]
    struct Part {
        #[serde(default)]
        text: String,
    }
    text(raw).unwrap_or_else(|| {
        let parts: Vec<Part> = serde_json::from_str(raw.get()).unwrap_or_default();
        Cow::Owned(parts.into_iter().map(|part| part.text).collect())
    })
}

/// A JSON string, borrowed where it has no escapes.
fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let borrowed = serde_json::from_str::<&str>(raw.get()).map(Cow::Borrowed);
    borrowed.or_else(|_| serde_json::from_str(raw.get()).map(Cow::Owned)).ok()
}

/// The texts to embed: one string or a list of them.
fn inputs(raw: &RawValue) -> Result<Vec<Cow<'_, str>>, Refusal> {
    let wrong = || (StatusCode::BAD_REQUEST, "'input' must be a string or strings".to_owned());
    if let Some(one) = text(raw) {
        return Ok(vec![one]);
    }
    let many: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
    if many.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "'input' must not be empty".into()));
    }
    many.into_iter().map(|one| text(one).ok_or_else(wrong)).collect()
}

/// Words as `str.split()` counts them.
fn count_words(text: &str) -> usize {
    text.split_whitespace().count()
}

/// The pieces of a streamed text: its words, or as many pieces as a slow stream asks for.
fn pieces(text: &str, settings: &Settings) -> Vec<String> {
    let Some(slow) = settings.slow_stream else {
        return text.split_inclusive(' ').map(str::to_owned).collect();
    };
    let characters: Vec<char> = text.chars().collect();
    let size = characters.len().div_ceil(slow.chunks).max(1);
    let mut pieces: Vec<String> =
        characters.chunks(size).map(|piece| piece.iter().collect()).collect();
    // A text shorter than its pieces is padded, so that the stream lasts as long as was asked.
    pieces.resize(slow.chunks, ".".into());
    pieces
}

/// A text as a JSON string, quotes included.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn ask(path: &str, body: &Value, settings: &Value) -> (u16, String) {
        let settings: Settings = serde_json::from_value(settings.clone()).unwrap();
        let body = body.to_string();
        let place = Place { host: "h", prefix: "", predictions: &Predictions::default() };
        let answer = answer(&Method::POST, path, body.as_bytes(), &settings, 4, &place);
        (answer.status.as_u16(), String::from_utf8(answer.frames.concat()).unwrap())
    }

    fn answered(path: &str, body: &Value) -> Value {
        let (status, text) = ask(path, body, &json!({}));
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    fn chat(content: &Value) -> Value {
        json!({"model": "m", "messages": [
            {"role": "system", "content": "be brief"}, {"role": "user", "content": content},
            {"role": "assistant", "content": null}]})
    }

    #[test]
    fn chat_echoes_the_last_user_message_in_every_dialect() {
        for content in
            [json!("say \"ä\"\nnow"), json!([{"type": "text", "text": "say \"ä\"\nnow"}])]
        {
            let body = chat(&content);
            let reply = answered("/v1/chat/completions", &body);
            assert_eq!(reply["choices"][0]["message"]["content"], "echo: say \"ä\"\nnow");
            assert_eq!(reply["usage"]["prompt_tokens"], 5);
            assert_eq!(reply["usage"]["completion_tokens"], 4);
            assert_eq!(reply["model"], "m");
            let mut body = body;
            body["stream"] = json!(false);
            let reply = answered("/api/chat", &body);
            assert_eq!(reply["message"]["content"], "echo: say \"ä\"\nnow");
            body["input"] = body["messages"].take();
            let reply = answered("/openai/responses", &body);
            assert_eq!(reply["output"][0]["content"][0]["text"], "echo: say \"ä\"\nnow");
        }
    }

    #[test]
    fn azure_takes_its_model_from_the_path() {
        let body = json!({"messages": [{"role": "user", "content": "hi"}]});
        let reply = answered("/openai/deployments/prod-chat/chat/completions", &body);
        assert_eq!(reply["model"], "prod-chat");
    }

    #[test]
    fn embeddings_keep_order_and_length() {
        let reply = answered("/v1/embeddings", &json!({"model": "e", "input": ["a b", "c"]}));
        assert_eq!(reply["data"][1]["index"], 1);
        assert_eq!(reply["data"][0]["embedding"].as_array().unwrap().len(), 4);
        assert_ne!(reply["data"][0]["embedding"], reply["data"][1]["embedding"]);
        assert_eq!(reply["usage"]["prompt_tokens"], 3);
        let body = json!({"input": "c", "dimensions": 7, "encoding_format": "base64"});
        let single = answered("/openai/deployments/e/embeddings", &body);
        assert!(single["data"][0]["embedding"].is_string());
        let ollama = answered("/api/embed", &json!({"model": "e", "input": "c"}));
        assert_eq!(ollama["embeddings"][0], reply["data"][1]["embedding"]);
        let body = json!({"texts": ["c"], "input_type": "search_query", "output_dimension": 4});
        let cohere = answered("/v2/embed", &body);
        assert_eq!(cohere["embeddings"]["float"][0], reply["data"][1]["embedding"]);
        let body = json!({"input": ["c"], "output_dimension": 7, "embedding_type": "base64"});
        assert_eq!(answered("/v1/embeddings", &body)["data"], single["data"]);
    }

    #[test]
    fn streams_carry_the_same_text_and_end_properly() {
        let mut body = chat(&json!("one two"));
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
        let (_, text) = ask("/v1/chat/completions", &body, &json!({}));
        let frames: Vec<&str> = text.split("\n\n").filter(|frame| !frame.is_empty()).collect();
        assert_eq!(*frames.last().unwrap(), "data: [DONE]");
        let mut said = String::new();
        let mut usage = Value::Null;
        for frame in &frames[..frames.len() - 1] {
            let frame: Value = serde_json::from_str(frame.strip_prefix("data: ").unwrap()).unwrap();
            said += frame["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
            usage = frame["usage"].clone();
        }
        assert_eq!(said, "echo: one two");
        assert_eq!(usage["completion_tokens"], 3);

        let (_, text) = ask("/api/chat", &body, &json!({}));
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let said: String =
            lines.iter().filter_map(|line| line["message"]["content"].as_str()).collect();
        assert_eq!(said, "echo: one two");
        assert_eq!(lines.last().unwrap()["done"], true);
    }

    #[test]
    fn error_frames_end_a_stream_early() {
        let mut body = chat(&json!("one two three four"));
        body["stream"] = json!(true);
        let (_, text) = ask("/v1/chat/completions", &body, &json!({"stream_error_frame": true}));
        assert!(text.contains(r#"{"error":"#) && !text.contains("[DONE]"));
        assert!(text.contains("echo: ") && !text.contains("three"));
    }

    #[test]
    fn slow_streams_have_as_many_pieces_as_asked() {
        for (text, count) in [("a", 5), ("a longer text", 3), ("", 2)] {
            let settings = json!({"slow_stream": {"chunks": count, "delay_ms": 0}});
            let settings: Settings = serde_json::from_value(settings).unwrap();
            let pieces = pieces(text, &settings);
            assert_eq!(pieces.len(), count);
            assert!(pieces.concat().starts_with(text));
        }
    }

    #[test]
    fn broken_requests_are_refused() {
        assert_eq!(ask("/v1/embeddings", &json!({"input": []}), &json!({})).0, 400);
        assert_eq!(ask("/v1/embeddings", &json!({"input": [1]}), &json!({})).0, 400);
        assert_eq!(ask("/v1/chat/completions", &json!({"model": "m"}), &json!({})).0, 400);
        assert_eq!(ask("/v1/nothing", &json!({}), &json!({})).0, 404);
    }

    #[test]
    fn scripted_streams_are_cut_at_their_frames() {
        let answer = scripted("data: 1\n\ndata: 2\n\ndata: cut".into());
        assert!(answer.streamed);
        assert_eq!(answer.frames, ["data: 1\n\n", "data: 2\n\n", "data: cut"]);
    }
}
