//! Ollama's shapes: chat and pull (both stream unless told not to), tags, embed.
//!
//! Frames are lines of JSON. Nothing is remembered: a pulled model does not join the list, the
//! setting `models` says what is there.
//!
//! ```text
//! {"model": "llama3.2", "messages": [...], "stream": false} -> {"message": {...}, "done": true}
//! ```

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Message, Refusal, count_words, inputs, parse, pieces, read_messages};
use crate::answer::Answer;
use crate::behaviour::Settings;
use crate::vectors;

const NDJSON: &str = "application/x-ndjson";
const CREATED: &str = "2024-01-01T00:00:00Z";

#[derive(Deserialize)]
struct ChatRequest<'a> {
    #[serde(borrow, default)]
    model: Cow<'a, str>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
}

pub(super) fn chat(body: &[u8], settings: &Settings) -> Result<Answer, Refusal> {
    let request: ChatRequest<'_> = parse(body)?;
    let (prompt, content) = read_messages(&request.messages);
    let completion = count_words(&content);
    let line = |content: &str| {
        json!({
            "model": request.model, "created_at": CREATED, "done": false,
            "message": {"role": "assistant", "content": content},
        })
    };
    let last = |content: &str| {
        json!({
            "model": request.model, "created_at": CREATED, "done": true, "done_reason": "stop",
            "message": {"role": "assistant", "content": content},
            "total_duration": 1_000_000, "prompt_eval_count": prompt, "eval_count": completion,
        })
    };
    if request.stream == Some(false) {
        return Ok(Answer::json(last(&content).to_string().into_bytes()));
    }
    let mut frames: Vec<Bytes> =
        pieces(&content, settings).iter().map(|piece| framed(&line(piece))).collect();
    if settings.stream_error_frame {
        frames.truncate(2);
        frames.push(framed(&json!({"error": "simulated stream failure"})));
    } else {
        frames.push(framed(&last("")));
    }
    Ok(Answer::stream(NDJSON, frames))
}

fn framed(line: &Value) -> Bytes {
    format!("{line}\n").into()
}

#[derive(Deserialize)]
struct PullRequest {
    #[serde(default)]
    stream: Option<bool>,
}

pub(super) fn pull(body: &[u8]) -> Result<Answer, Refusal> {
    let request: PullRequest = parse(body)?;
    let done = json!({"status": "success"});
    if request.stream == Some(false) {
        return Ok(Answer::json(done.to_string().into_bytes()));
    }
    let steps = [
        json!({"status": "pulling manifest"}),
        json!({"status": "downloading", "total": 10, "completed": 10}),
        done,
    ];
    Ok(Answer::stream(NDJSON, steps.iter().map(framed).collect()))
}

/// What the server claims to have.
pub(super) fn model_names(settings: &Settings) -> Vec<String> {
    settings.models.clone().unwrap_or_else(|| vec!["llama3.2:latest".into()])
}

pub(super) fn tags(settings: &Settings) -> Answer {
    let models: Vec<Value> = model_names(settings)
        .iter()
        .map(|name| json!({"name": name, "model": name, "modified_at": CREATED, "size": 1}))
        .collect();
    Answer::json(json!({ "models": models }).to_string().into_bytes())
}

#[derive(Deserialize)]
struct EmbedRequest<'a> {
    #[serde(borrow, default)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    input: &'a RawValue,
    #[serde(default)]
    dimensions: Option<usize>,
}

pub(super) fn embed(body: &[u8], dimensions: usize) -> Result<Answer, Refusal> {
    let request: EmbedRequest<'_> = parse(body)?;
    let texts = inputs(request.input)?;
    let dimensions = request.dimensions.unwrap_or(dimensions);
    let mut words = 0;
    let mut out = br#"{"embeddings":["#.to_vec();
    for (index, text) in texts.iter().enumerate() {
        words += count_words(text);
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&vectors::render(text, dimensions, false));
    }
    let tail = format!(
        r#"],"model":{},"total_duration":1000000,"load_duration":1000,"prompt_eval_count":{words}}}"#,
        super::quoted(&request.model)
    );
    out.extend_from_slice(tail.as_bytes());
    Ok(Answer::json(out))
}
