//! OpenAI's shapes: chat completions, embeddings, responses, and the list of models.
//!
//! Azure speaks the same below other paths. Identifiers and times are constants, so that the same
//! request gives the same bytes.
//!
//! ```text
//! {"messages": [{"role": "user", "content": "hi"}]} -> choices[0].message.content "echo: hi"
//! ```

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{
    Message, Refusal, content_text, count_words, inputs, parse, pieces, quoted, read_messages,
    tools,
};
use crate::answer::Answer;
use crate::behaviour::Settings;
use crate::kept::Kept;
use crate::vectors;
use tools::Turn;

const SSE: &str = "text/event-stream";
const CREATED: u32 = 1_700_000_000;

#[derive(Deserialize)]
struct ChatRequest<'a> {
    #[serde(borrow, default)]
    model: Cow<'a, str>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

pub(super) fn chat(path: &str, body: &[u8], settings: &Settings) -> Result<Answer, Refusal> {
    let request: ChatRequest<'_> = parse(body)?;
    if request.messages.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "'messages' must not be empty".into()));
    }
    let (prompt, echo) = read_messages(&request.messages);
    let (content, calls) = match tools::turn(request.tools, &request.messages, settings.tool_rounds)
    {
        None => (echo, String::new()),
        Some(Turn::Says(text)) => (text, String::new()),
        Some(Turn::Calls(calls)) => (String::new(), format!(r#","tool_calls":{calls}"#)),
    };
    let reason = if calls.is_empty() { "stop" } else { "tool_calls" };
    let completion = count_words(&content);
    let model = quoted(model_of(path, &request.model));
    let usage = format!(
        r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{}}}"#,
        prompt + completion
    );
    if request.stream != Some(true) {
        // Written by hand: this is the hot path of every benchmark.
        let body = format!(
            r#"{{"id":"chatcmpl-simulated","object":"chat.completion","created":{CREATED},"model":{model},"choices":[{{"index":0,"message":{{"role":"assistant","content":{}{calls}}},"finish_reason":"{reason}"}}],"usage":{usage}}}"#,
            quoted(&content)
        );
        return Ok(Answer::json(body.into_bytes()));
    }
    let frame = |choices: String, usage: &str| {
        Bytes::from(format!(
            "data: {{\"id\":\"chatcmpl-simulated\",\"object\":\"chat.completion.chunk\",\"created\":{CREATED},\"model\":{model},\"choices\":{choices},\"usage\":{usage}}}\n\n"
        ))
    };
    let delta = |delta: &str, finish: &str| {
        format!(r#"[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]"#)
    };
    let first = format!(r#"{{"role":"assistant","content":""{calls}}}"#);
    let mut frames = vec![frame(delta(&first, "null"), "null")];
    for (number, piece) in pieces(&content, settings).iter().enumerate() {
        if settings.stream_error_frame && number == 2 {
            break;
        }
        frames.push(frame(delta(&format!(r#"{{"content":{}}}"#, quoted(piece)), "null"), "null"));
    }
    if settings.stream_error_frame {
        let error = json!({"error": {"message": "simulated stream failure", "type": "server_error", "param": null, "code": "server_error"}});
        frames.push(format!("data: {error}\n\n").into());
        return Ok(Answer::stream(SSE, frames));
    }
    frames.push(frame(delta("{}", &quoted(reason)), "null"));
    if request.stream_options.is_some_and(|options| options.include_usage) {
        frames.push(frame("[]".into(), &usage));
    }
    frames.push(Bytes::from_static(b"data: [DONE]\n\n"));
    Ok(Answer::stream(SSE, frames))
}

/// The model named in the body, else Azure's deployment.
pub(super) fn model_of<'a>(path: &'a str, model: &'a str) -> &'a str {
    if !model.is_empty() {
        return model;
    }
    let deployment = path.split_once("/deployments/").map(|(_, rest)| rest);
    deployment.and_then(|rest| rest.split('/').next()).unwrap_or("simulator")
}

#[derive(Deserialize)]
struct EmbeddingsRequest<'a> {
    #[serde(borrow, default)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    input: &'a RawValue,
    /// Voyage and Mistral have a name of their own for it, Jina for the next.
    #[serde(default, alias = "output_dimension")]
    dimensions: Option<usize>,
    #[serde(borrow, default, alias = "embedding_type")]
    encoding_format: Cow<'a, str>,
}

pub(super) fn embeddings(path: &str, body: &[u8], dimensions: usize) -> Result<Answer, Refusal> {
    // Few, so that a client that never asks twice does not make each answer's pages new.
    static ANSWERS: LazyLock<Kept<u64>> = LazyLock::new(|| Kept::up_to(4 << 20));
    let mut hasher = DefaultHasher::new();
    (path, body, dimensions).hash(&mut hasher);
    let key = hasher.finish();
    if let Some(known) = ANSWERS.get(&key) {
        return Ok(Answer::json(known));
    }
    let answer = write_embeddings(path, body, dimensions)?;
    Ok(Answer::json(ANSWERS.put(key, answer)))
}

fn write_embeddings(path: &str, body: &[u8], dimensions: usize) -> Result<Vec<u8>, Refusal> {
    let request: EmbeddingsRequest<'_> = parse(body)?;
    let texts = inputs(request.input)?;
    let dimensions = request.dimensions.unwrap_or(dimensions);
    let base64 = request.encoding_format == "base64";
    let mut words = 0;
    let mut out = Vec::with_capacity(256 + texts.len() * dimensions * if base64 { 6 } else { 14 });
    out.extend_from_slice(br#"{"object":"list","data":["#);
    for (index, text) in texts.iter().enumerate() {
        words += count_words(text);
        let comma = if index == 0 { "" } else { "," };
        let head = format!(r#"{comma}{{"object":"embedding","index":{index},"embedding":"#);
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(&vectors::render(text, dimensions, base64));
        out.push(b'}');
    }
    let model = quoted(model_of(path, &request.model));
    let tail = format!(
        r#"],"model":{model},"usage":{{"prompt_tokens":{words},"total_tokens":{words}}}}}"#
    );
    out.extend_from_slice(tail.as_bytes());
    Ok(out)
}

#[derive(Deserialize)]
struct ResponsesRequest<'a> {
    #[serde(borrow, default)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    input: &'a RawValue,
    #[serde(default)]
    stream: Option<bool>,
}

pub(super) fn responses(body: &[u8], settings: &Settings) -> Result<Answer, Refusal> {
    let request: ResponsesRequest<'_> = parse(body)?;
    let messages: Vec<Message<'_>> = serde_json::from_str(request.input.get()).unwrap_or_default();
    let (prompt, content) = if messages.is_empty() {
        let text = content_text(request.input);
        (count_words(&text), format!("echo: {text}"))
    } else {
        read_messages(&messages)
    };
    let completion = count_words(&content);
    let document = json!({
        "id": "resp-simulated", "object": "response", "created_at": CREATED, "status": "completed",
        "model": request.model, "error": null, "incomplete_details": null,
        "output": [{
            "type": "message", "id": "msg-simulated", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": content, "annotations": []}],
        }],
        "usage": {
            "input_tokens": prompt, "output_tokens": completion, "total_tokens": prompt + completion,
        },
    });
    if request.stream != Some(true) {
        return Ok(Answer::json(document.to_string().into_bytes()));
    }
    let frame = |event: Value| {
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
        Bytes::from(format!("event: {kind}\ndata: {event}\n\n"))
    };
    let mut frames: Vec<Bytes> = pieces(&content, settings)
        .iter()
        .map(|piece| {
            frame(json!({"type": "response.output_text.delta", "item_id": "msg-simulated",
                "output_index": 0, "content_index": 0, "delta": piece}))
        })
        .collect();
    if settings.stream_error_frame {
        frames.truncate(2);
        frames.push(frame(json!({"type": "error", "message": "simulated stream failure"})));
    } else {
        frames.push(frame(json!({"type": "response.completed", "response": document})));
    }
    Ok(Answer::stream(SSE, frames))
}

pub(super) fn models(settings: &Settings) -> Answer {
    let names = super::ollama::model_names(settings);
    let data: Vec<Value> =
        names.iter().map(|name| json!({"id": name, "object": "model"})).collect();
    Answer::json(json!({"object": "list", "data": data}).to_string().into_bytes())
}
